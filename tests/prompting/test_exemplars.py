import pytest

from cotdistill.errors import RecipeError
from cotdistill.prompting.exemplars import draw_exemplars, refuse_test_exemplars
from cotdistill.records import Question

POOL = [
    Question(f"train/{i}", f"Question {i}?", str(i), rationale="Because." if i % 2 else "")
    for i in range(20)
]


def test_the_draw_depends_on_the_seed_alone_not_on_the_order_of_the_file() -> None:
    drawn = draw_exemplars(POOL, 4, seed=1)
    assert drawn == draw_exemplars(list(reversed(POOL)), 4, seed=1)
    assert drawn != draw_exemplars(POOL, 4, seed=2)
    assert len(drawn) == 4
    assert draw_exemplars(POOL, 0) == ()


def test_worked_questions_come_first() -> None:
    assert all(question.rationale for question in draw_exemplars(POOL, 10))
    assert sum(bool(question.rationale) for question in draw_exemplars(POOL, 12)) == 10


def test_an_unanswered_question_is_no_exemplar() -> None:
    assert draw_exemplars([Question("a", "Open?")], 1) == ()


@pytest.mark.parametrize(
    "twin", [Question("train/1", "Else?", "1"), Question("test/9", "  question  1? ", "1")]
)
def test_an_exemplar_of_the_test_split_is_refused(twin: Question) -> None:
    with pytest.raises(RecipeError, match="train/1 stands in the test split"):
        refuse_test_exemplars([POOL[1]], [Question("test/0", "Fresh?"), twin])
    refuse_test_exemplars(
        [POOL[1]],
        [Question("test/0", "Fresh?"), Question("test/1", twin.text, "1", context="Elsewhere.")],
    )

import pytest

from cotdistill.answers.number import Number
from cotdistill.filters.answer_match import AnswerMatch
from cotdistill.records import Question, Rationale


@pytest.mark.parametrize(
    ("gold", "answer", "reason"),
    [
        ("11", "11", None),
        ("11", "11.0", None),
        ("1,100", "1100", None),
        ("11", "12", "wrong answer"),
        ("11", None, "no answer"),
        (None, "11", "no gold answer"),
        ("11", "", "wrong answer"),
    ],
)
def test_reasons(gold: str | None, answer: str | None, reason: str | None) -> None:
    candidate = (Question("q", "How many?", gold), Rationale("q", "Because.", answer))
    assert list(AnswerMatch().apply([candidate], Number())) == [(*candidate, reason)]


@pytest.mark.parametrize(("source", "reason"), [("teacher", "empty rationale"), ("none", None)])
def test_an_answer_without_a_rationale_is_for_answer_only_alone(
    source: str, reason: str | None
) -> None:
    candidate = (Question("q", "How many?", "11"), Rationale("q", " \n", "11", source=source))
    assert list(AnswerMatch().apply([candidate], Number())) == [(*candidate, reason)]

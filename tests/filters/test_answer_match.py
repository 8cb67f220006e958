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

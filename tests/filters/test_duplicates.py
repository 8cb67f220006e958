from typing import Literal

import pytest

from cotdistill.answers.number import Number
from cotdistill.filters.duplicates import Duplicates
from cotdistill.records import Question, Rationale


@pytest.mark.parametrize(
    ("level", "texts", "reasons"),
    [
        ("text", ["She has 3.", "She has 3.", "She has 4."], [None, "same text", None]),
        ("text", ["She  has 3. ", "she has 3."], [None, "same text"]),
        ("text", ["So 3 + 8 = 11.", "Thus 3+8 = 11."], [None, None]),
        ("equations", ["So 3 + 8 = 11.", "Thus 3+8 = 11."], [None, "same equations"]),
        ("equations", ["3 + 8 = 11.", "8 + 3 = 11."], [None, None]),
        ("equations", ["1 + 1 = 2. 2 + 1 = 3.", "2 + 1 = 3. 1 + 1 = 2."], [None, None]),
        ("equations", ["It flies.", "it flies.", "It swims."], [None, "same equations", None]),
    ],
)
def test_reasons(
    level: Literal["text", "equations"], texts: list[str], reasons: list[str | None]
) -> None:
    question = Question("q", "How many?", "11")
    candidates = [(question, Rationale("q", text, "11", index)) for index, text in enumerate(texts)]
    assert [reason for *_, reason in Duplicates(level=level).apply(candidates, Number())] == reasons


def test_questions_do_not_share_their_rationales() -> None:
    candidates = [
        (Question(name, "How many?", "11"), Rationale(name, "It is 11.", "11"))
        for name in ("a", "b")
    ]
    assert [reason for *_, reason in Duplicates().apply(candidates, Number())] == [None, None]

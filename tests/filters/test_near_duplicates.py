from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.filters.near_duplicates import NearDuplicates
from cotdistill.records import Question, Rationale

LONG = (
    "Ana has 3 red apples in her bag. She then buys 8 more apples at the market, so she has "
    "3 + 8 = 11 apples. In the evening she gives 2 of them to Ben, which leaves her 11 - 2 = 9."
)
NEAR = "nearly the same text"


@pytest.mark.parametrize(
    ("settings", "texts", "reasons"),
    [
        ({}, [LONG, LONG.upper().replace(" ", "\n"), LONG + " So 9."], [None, NEAR, NEAR]),
        ({}, [LONG, LONG.replace("market", "shop")], [None, NEAR]),
        ({"similarity": 0.95}, [LONG, LONG.replace("market", "shop")], [None, None]),
        ({"similarity": 1}, [LONG, LONG, LONG + " So"], [None, NEAR, None]),
        ({}, [LONG, "11 - 2 = 9, since 3 + 8 = 11 and Ben gets 2."], [None, None]),
        ({}, [LONG, LONG * 2], [None, NEAR]),
        ({}, [LONG, LONG + " " + LONG[::-1]], [None, None]),
        ({}, ["3 + 8 = 11", "3 - 8 = 11", "3+8=11"], [None, None, NEAR]),
        ({}, ["Nine.", "nine", "Ten"], [None, NEAR, None]),
        ({}, ["", " ", "Nine"], [None, NEAR, None]),
        ({"words": 1}, ["a b c d", "d c b a"], [None, NEAR]),
        # The third is near the second alone, which is dropped.
        ({"words": 1, "similarity": 0.5}, ["a b c d", "b c d e", "c d e f"], [None, NEAR, None]),
    ],
)
def test_reasons(settings: dict[str, Any], texts: list[str], reasons: list[str | None]) -> None:
    question = Question("q", "How many?", "9")
    candidates = [(question, Rationale("q", text, "9", index)) for index, text in enumerate(texts)]
    found = list(NearDuplicates(**settings).apply(candidates, Number()))
    assert [reason for *_, reason in found] == reasons
    assert [pair for *pair, _ in found] == [list(pair) for pair in candidates]


def test_questions_do_not_share_their_rationales() -> None:
    candidates = [
        (Question(name, "How many?", "9"), Rationale(name, LONG, "9")) for name in ("a", "b")
    ]
    assert [reason for *_, reason in NearDuplicates().apply(candidates, Number())] == [None, None]

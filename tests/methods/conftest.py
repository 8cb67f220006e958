"""What the tests of methods share: a question of every kind."""

import pytest

from cotdistill.records import Question, Step


@pytest.fixture
def apples() -> Question:
    return Question(
        "q1",
        "Ana has 3 apples and buys 8 more. How many?",
        "11",
        rationale="Ana has 3 apples. She buys 8 more, so 3 + 8 = 11.",
        steps=(
            Step("How many apples does Ana have at first?", "Ana has 3 apples.", "3"),
            Step("How many has she then?", "3 + 8 = 11.", "11"),
        ),
    )


@pytest.fixture
def pens() -> Question:
    return Question(
        "q2", "Bo has 2 pens and loses 1. How many?", "1", rationale="Bo has 2 pens. 2 - 1 = 1."
    )


@pytest.fixture
def quiz() -> Question:
    return Question(
        "q3",
        "Which of these flies?",
        "B",
        options=("stone", "bird", "fish"),
        context="Birds have wings.",
        rationale="Birds have wings. What has wings flies, so it is (B).",
    )

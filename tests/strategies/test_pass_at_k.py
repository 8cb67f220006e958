from collections.abc import Callable

import pytest

from cotdistill.records import Answer
from cotdistill.strategies.pass_at_k import PassAtK

Run = Callable[..., Answer]


@pytest.mark.parametrize(
    ("student", "answer"),
    [
        ((" --> 5", " --> 6", " --> 7"), "7"),
        ((" --> 5", " --> 6", " --> 8"), "5"),
        ((" none", " --> 6", " --> 8"), "6"),
        ((" none",), None),
    ],
)
def test_one_right_solution_is_enough(
    run: Run, student: tuple[str, ...], answer: str | None
) -> None:
    result = run(PassAtK(k=3), student=student)
    assert result.answer == answer
    assert len(result.votes) == 3

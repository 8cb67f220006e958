from collections.abc import Callable

import pytest

from cotdistill.records import Answer
from cotdistill.strategies.pass_at_k import PassAtK, estimate

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
def test_one_right_solution_is_enough(run: Run, student: tuple[str, ...], answer: str | None) -> None:
    result = run(PassAtK(k=3), student=student)
    assert result.answer == answer
    assert len(result.votes) == 3


@pytest.mark.parametrize(
    ("samples", "correct", "k", "value"),
    [(4, 0, 2, 0.0), (4, 4, 1, 1.0), (4, 1, 1, 0.25), (4, 1, 2, 0.5), (4, 3, 2, 1.0)],
)
def test_the_estimate_is_unbiased(samples: int, correct: int, k: int, value: float) -> None:
    assert estimate(samples, correct, k) == pytest.approx(value)


def test_more_than_was_sampled_cannot_be_estimated() -> None:
    with pytest.raises(ValueError, match="needs at least 8 samples"):
        estimate(4, 1, 8)

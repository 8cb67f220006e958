"""The cells of a row of scores, and the sentence that says who won."""

from __future__ import annotations

from typing import Any

import pytest

from cotdistill.evaluation.grid import ScoreRow
from cotdistill.reporting.scoreboard import BoardRow
from cotdistill.reporting.winner import score_section


def row(**changes: Any) -> ScoreRow:
    plain: dict[str, Any] = {
        "task": "words", "split": "test", "student": "s", "method": "cot", "strategy": "greedy",
        "seeds": (0,), "n": 300, "accuracy": 0.66, "low": 0.6, "high": 0.71, "by_seed": (0.66,),
        "no_answer": 0.0, "errors": 0.0, "tokens": 64.4,
    }  # fmt: skip
    return ScoreRow(**{**plain, **changes})


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ("66.0 [60.0, 71.0]", "300", "–", "–", "–", "64")),
        ({"seeds": (0, 1, 2)}, ("66.0 [60.0, 71.0]", "300×3", "–", "–", "–", "64")),
        (
            {"difference": 0.57, "p_corrected": 0.0001, "over_majority": -0.1,
             "p_over_majority": 0.25},
            ("66.0 [60.0, 71.0]", "300", "+57.0 (p<0.001)", "-10.0 (p=0.250)", "–", "64"),
        ),
        (
            {"failed": 30, "no_answer": 0.12, "truncated": 6},
            ("66.0 [60.0, 71.0]; 30 of 300 questions failed", "300", "–", "–",
             "12.0 (6 truncated)", "64"),
        ),
        (
            {"guide_tokens": 16.2, "leaks": 0.12},
            ("66.0 [60.0, 71.0]", "300", "–", "–", "–", "64 + 16 (12 % leak)"),
        ),
    ],
)  # fmt: skip
def test_cells_of_a_row(changes: dict[str, Any], cells: tuple[str, ...]) -> None:
    one = BoardRow(0, "cot", "student", row(**changes), (), {})
    section = score_section("t", [one], "answer-only")
    assert section.rows == (("cot", *cells),)
    assert ("those of a guide" in section.note) == ("guide_tokens" in changes)

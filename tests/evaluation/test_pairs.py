"""Any row against any other: differences, corrected p, overlap."""

from __future__ import annotations

import numpy as np
import pytest

from cotdistill.evaluation.grid import Scored, ScoredCell, score_grid
from cotdistill.evaluation.pairs import all_pairs, paired
from cotdistill.evaluation.statistics import compare, holm
from cotdistill.records import Verdict


def cell(method: str, right: str, seed: int = 0, task: str = "t") -> ScoredCell:
    verdicts = {"+": Verdict.CORRECT, "-": Verdict.WRONG}
    scored = [Scored(f"q{n}", verdicts[sign], "1") for n, sign in enumerate(right)]
    return ScoredCell(task, method, "greedy", seed, scored, student="s")


def test_overlap_and_difference_of_one_seed() -> None:
    scores = score_grid([cell("a", "+++-"), cell("b", "+---")])
    (pair,) = all_pairs(scores)
    assert (pair.first, pair.second, pair.difference) == (0, 1, 0.5)
    assert (pair.both, pair.first_only, pair.second_only, pair.neither) == (0.25, 0.5, 0.0, 0.25)
    assert pair.test == "exact McNemar" and pair.p == pair.p_corrected == 0.5


def test_p_is_corrected_for_the_pairs_of_one_task() -> None:
    rows = {"a": "+" * 20, "b": "+" * 10 + "-" * 10, "c": "-" * 20}
    scores = score_grid([cell(name, right, task=task) for task in "tu"
                         for name, right in rows.items()])  # fmt: skip
    pairs = list(all_pairs(scores))
    assert len(pairs) == 6 and pairs[0].p == compare(*scores.correct[:2]).p
    assert [pair.p_corrected for pair in pairs[:3]] == holm([pair.p for pair in pairs[:3]])
    assert pairs[0].p_corrected > pairs[0].p


def test_seeds_are_averaged_and_unequal_numbers_of_them_compared() -> None:
    one, two = np.array([[1, 1, 0, 0], [1, 0, 0, 0]]), np.array([[1, 1, 1, 0]])
    (pair,) = paired([(0, 1)], [one, two])
    assert pair.difference == pytest.approx(3 / 8 - 3 / 4)
    assert pair.both == pytest.approx(1.5 / 4) and pair.second_only == pytest.approx(1.5 / 4)
    assert pair.both + pair.first_only + pair.second_only + pair.neither == pytest.approx(1)


def test_rows_of_different_questions_are_not_paired() -> None:
    with pytest.raises(ValueError, match="the same questions"):
        paired([(0, 1)], [np.ones((1, 3)), np.ones((1, 4))])

"""Rows of BIG-bench multiple-choice tasks on the hub: inputs, multiple_choice_targets, multiple_choice_scores."""

from __future__ import annotations

import random

from cotdistill.data.rows import Row, pick, text_of
from cotdistill.errors import DataError
from cotdistill.records import Question

__all__ = ["bigbench_question"]


def bigbench_question(row: Row, id: str, seed: int) -> Question:
    """A row as a question. The first option is always right there, so options are shuffled by the seed and the id."""
    text = (
        text_of(row, ("inputs",), "question")
        .removeprefix("Q:")
        .split("\n  choice:")[0]
        .removesuffix("A:")
        .strip()
    )
    options = [str(option) for option in pick(row, ("multiple_choice_targets",), "options")]
    scores = list(pick(row, ("multiple_choice_scores",), "scores of the options"))
    if scores.count(1) != 1 or len(scores) != len(options):
        raise DataError(f"{row.place}: multiple_choice_scores: exactly one option must be right")
    right = options[scores.index(1)]
    random.Random(f"options/{seed}/{id}").shuffle(options)
    return Question(id, text, "ABCDEFGHIJ"[options.index(right)], tuple(options))

"""Any row against any other on the same questions: the difference, its test, and their overlap."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cotdistill.evaluation import statistics
from cotdistill.evaluation.grid import Scores
from cotdistill.records import Record


@dataclass(frozen=True, slots=True)
class PairedRows(Record):
    """Two rows of one task and split, named by their places.

    `difference` is the first's accuracy less the second's. `both`, `first_only`, `second_only` and
    `neither` are shares of the questions, means over the seeds. `p_corrected` is corrected for all
    pairs that were compared together (Holm).
    """

    first: int
    second: int
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float
    test: str
    both: float
    first_only: float
    second_only: float
    neither: float


def paired(places: Sequence[tuple[int, int]], correct: Sequence[Any]) -> list[PairedRows]:
    """Compare the named pairs of (seeds, questions) matrices, p corrected for all of them."""
    pairs = [_pair(first, second, correct[first], correct[second]) for first, second in places]
    corrected = statistics.holm([pair.p for pair in pairs])
    return [replace(pair, p_corrected=p) for pair, p in zip(pairs, corrected, strict=True)]


def all_pairs(scores: Scores) -> Iterator[PairedRows]:
    """Yield every two rows of a task and split, p corrected for all pairs of that task and split.

    The places are those in `scores.rows`.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(scores.rows):
        groups.setdefault((row.task, row.split), []).append(place)
    for places in groups.values():
        yield from paired(list(itertools.combinations(places, 2)), scores.correct)


def _pair(first: int, second: int, one: Any, other: Any) -> PairedRows:
    found = statistics.compare(one, other)
    right, also = np.mean(one, axis=0), np.mean(other, axis=0)
    shares = right * also, right * (1 - also), (1 - right) * also, (1 - right) * (1 - also)
    overlap = (float(share.mean()) for share in shares)
    ends = found.difference, found.low, found.high, found.p, found.p, found.test
    return PairedRows(first, second, *ends, *overlap)

"""The papers' tables, and ours set beside them where task, split, student and method match.

The figures lie in `docs/published/*.csv`, one a line: source, table, task, split, student, method, samples, metric, value (in
%), label, note. The label says how far a figure was checked: "verified" (read in the primary source), "secondary source",
"read off a plot", "recalled, not checked"; whoever prints a figure prints its label.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotdistill.errors import DataError
from cotdistill.evaluation.grid import ScoreRow
from cotdistill.records import Record

__all__ = ["Beside", "Place", "Published", "beside", "load_published"]

COLUMNS = (
    "source",
    "table",
    "task",
    "split",
    "student",
    "method",
    "samples",
    "metric",
    "value",
    "label",
    "note",
)
LABELS = ("verified", "secondary source", "read off a plot", "recalled, not checked")
_FOLDER = Path(__file__).parents[3] / "docs" / "published"


@dataclass(frozen=True, slots=True)
class Published(Record):
    """One published figure; `value` in %, `samples` as the paper gives it ("" where it does not apply)."""

    source: str
    table: str
    task: str
    split: str
    student: str
    method: str
    samples: str
    metric: str
    value: float
    label: str
    note: str


@dataclass(frozen=True, slots=True)
class Place:
    """What a row of ours was run on, in the words of the published tables.

    `split` is "default", "official" or "template" (the task's setting), `student` the checkpoint's id or folder, `samples`
    the number of rationales a question.
    """

    task: str
    split: str
    student: str
    method: str
    samples: str = ""


@dataclass(frozen=True, slots=True)
class Beside(Record):
    """A published figure and ours, in %; `ours_low` and `ours_high` bound the 95 % interval."""

    published: Published
    ours: float
    ours_low: float
    ours_high: float
    difference: float
    inside: bool
    """Whether the published figure lies in our interval."""


def load_published(folder: Path = _FOLDER) -> list[Published]:
    """All figures of the CSV files of a folder; none where there is no folder (an installed package has no docs).

    Raises:
        DataError: a file lacks a column, a value is no number, or a label is none of LABELS.
    """
    figures = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path}:1: no column {missing[0]!r}; it needs {', '.join(COLUMNS)}"
                )
            for row in reader:
                figures.append(_figure(row, f"{path}:{reader.line_num}"))
    return figures


def _figure(row: Mapping[str, str], place: str) -> Published:
    if row["label"] not in LABELS:
        raise DataError(f"{place}: label {row['label']!r}; one of {', '.join(LABELS)}")
    try:
        value = float(row["value"])
    except ValueError as error:
        raise DataError(f"{place}: value {row['value']!r} is no number") from error
    texts = {column: row[column] for column in COLUMNS if column != "value"}
    return Published(value=value, **texts)


def beside(rows: Sequence[tuple[ScoreRow, Place]], published: Iterable[Published]) -> list[Beside]:
    """Published accuracies with our row of the same task, split, student, method and number of samples.

    Students match by the last part of a checkpoint's id ("google/flan-t5-small" is "flan-t5-small").
    """
    pairs = []
    for figure in published:
        for row, place in rows:
            if figure.metric == "accuracy" and row.split == "test" and _matches(figure, place):
                ours, low, high = (100 * share for share in (row.accuracy, row.low, row.high))
                inside = low <= figure.value <= high
                pairs.append(Beside(figure, ours, low, high, ours - figure.value, inside))
    return pairs


def _matches(figure: Published, place: Place) -> bool:
    same_place = (figure.task, figure.split, figure.method) == (
        place.task,
        place.split,
        place.method,
    )
    same_student = figure.student == place.student.rstrip("/").rpartition("/")[2].lower()
    return same_place and same_student and figure.samples in ("", place.samples)

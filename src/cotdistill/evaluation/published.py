"""The papers' figures, and ours compared with them where task, split, student and method match.

The figures lie in `tables/*.csv`, one a line: source, table, task, split, student, method, samples,
metric, value (in %), label, note. The label says how far a figure was checked: "verified" (read in
the primary source), "secondary source", "read off a plot", "recalled, not checked"; whoever prints
a figure prints its label.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cotdistill.evaluation.grid import ScoreRow
from cotdistill.records import Record

LABELS = ("verified", "secondary source", "read off a plot", "recalled, not checked")


@dataclass(frozen=True, slots=True)
class Published(Record):
    """One published figure; `value` in %, `samples` as the paper gives it ("" where none apply)."""

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
class Configuration:
    """The setting of a row of ours, in the words of the published tables.

    `split` is "default", "official" or "template" (the task's setting), `student` the checkpoint's
    id or folder, `samples` the number of rationales a question.
    """

    task: str
    split: str
    student: str
    method: str
    samples: str = ""


def load_published() -> list[Published]:
    """Return all figures of the tables that come with the package."""
    figures = []
    for path in sorted((Path(__file__).parent / "tables").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                figures.append(Published.from_json({**row, "value": float(row["value"])}))
    return figures


def matching(
    rows: Iterable[tuple[ScoreRow, Configuration]], published: Iterable[Published]
) -> Iterator[tuple[Published, ScoreRow]]:
    """Yield the published accuracies, each with our row of the same configuration.

    Students match by the last part of a checkpoint's id ("google/flan-t5-small" is
    "flan-t5-small"). Only test splits are compared.
    """
    tested = [(row, ours) for row, ours in rows if row.split == "test"]
    for figure in published:
        theirs = (figure.task, figure.split, figure.method, figure.student)
        for row, ours in tested:
            student = ours.student.rstrip("/").rpartition("/")[2].lower()
            same = theirs == (ours.task, ours.split, ours.method, student)
            if same and figure.metric == "accuracy" and figure.samples in ("", ours.samples):
                yield figure, row

"""The scores of a run as a report shows them: rows with labels, their cells, pairs and groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cotdistill.contracts import Split
from cotdistill.errors import UserError
from cotdistill.evaluation.grid import MAJORITY, ScoreRow
from cotdistill.evaluation.pairs import PairedRows
from cotdistill.recipe import Entry
from cotdistill.runs.grid import Cell
from cotdistill.runs.run import Run
from cotdistill.util.files import read_json

Kind = Literal["student", "prompted", "majority"]


@dataclass(frozen=True)
class AnsweredCell:
    """The answers of one cell to one split: their folder, and what the stages noted of them."""

    cell: Cell
    folder: Path
    answering: dict[str, Any]
    training: dict[str, Any]
    """Empty where nothing was trained."""


@dataclass(frozen=True)
class BoardRow:
    """One row of the scores under the label it is shown with; `place` is its place in them."""

    place: int
    label: str
    kind: Kind
    row: ScoreRow
    answered: Sequence[AnsweredCell]
    """One for each seed; none for the majority answer."""
    by_group: dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Board:
    """The rows of one task and split, and each two of them compared."""

    task: Entry
    split: Split
    rows: Sequence[BoardRow]
    pairs: Sequence[PairedRows]

    @property
    def name(self) -> str:
        return f"{self.task.label}, {self.split} split"

    @property
    def students(self) -> list[BoardRow]:
        """The rows of trained students, best first."""
        found = (one for one in self.rows if one.kind == "student")
        return sorted(found, key=lambda one: -one.row.accuracy)

    @property
    def teacher(self) -> BoardRow | None:
        """The best row that no student answered, which is the teacher as it was prompted."""
        found = [one for one in self.rows if one.kind == "prompted" and not one.row.student]
        return max(found, key=lambda one: one.row.accuracy, default=None)

    @property
    def answered(self) -> list[AnsweredCell]:
        """The cells of all rows."""
        return [one for row in self.rows for one in row.answered]


def read_boards(run: Run) -> list[Board]:
    """Return the boards of an evaluated run, in the order of the recipe's splits and tasks.

    Raises:
        UserError: the scores are not there, or not those of this recipe.
    """
    path = run.folder / "scores.json"
    scores = read_json(path) if path.exists() else {}
    if scores.get("made_from") != run.scores_made_from or "pairs" not in scores:
        raise UserError(f"{path}: not the scores of this recipe; run the stage evaluate first")
    answered: dict[tuple[str, ...], list[AnsweredCell]] = {}
    for cell, split, strategy in run.answered():
        artifact, trained = run.infer_artifact(cell, split, strategy), {}
        if cell.method.plugin.rounds:
            trained = run.train_artifact(cell).metadata or {}
        one = AnsweredCell(cell, artifact.folder, artifact.metadata or {}, trained)
        answered.setdefault(_key(cell, split, strategy), []).append(one)
    rows = list(_rows(run, scores, answered))
    pairs = [PairedRows.from_json(pair) for pair in scores["pairs"]]
    boards = []
    for split in run.recipe.evaluate_on:
        for task in run.recipe.tasks:
            own = [one for one in rows if (one.row.task, one.row.split) == (task.label, split)]
            places = {one.place for one in own}
            if own:
                compared = [pair for pair in pairs if pair.first in places]
                boards.append(Board(task, split, own, compared))
    return boards


def _key(cell: Cell, split: Split, strategy: Entry) -> tuple[str, ...]:
    # As the stage evaluate names its rows: no student answers for the teacher.
    student = "" if cell.method.plugin.prompted_role == "teacher" else cell.student.label
    return cell.task.label, split, student, cell.method.label, strategy.label


def _rows(
    run: Run, scores: dict[str, Any], answered: dict[tuple[str, ...], list[AnsweredCell]]
) -> Iterator[BoardRow]:
    trained = {method.label for method in run.recipe.methods if method.plugin.rounds}
    for place, (found, groups) in enumerate(zip(scores["rows"], scores["by_group"], strict=True)):
        row = ScoreRow.from_json(found)
        kind: Kind = "student" if row.method in trained else "prompted"
        cells = answered.get((row.task, row.split, row.student, row.method, row.strategy), ())
        kind = "majority" if row.method == MAJORITY else kind
        yield BoardRow(place, row_label(run, row), kind, row, cells, groups)


def row_label(run: Run, row: ScoreRow) -> str:
    """Return the label of a row: its method, and what else tells it from the other rows."""
    student = [row.student] if len(run.recipe.students) > 1 and row.student else []
    strategy = [row.strategy] if len(run.recipe.strategies) > 1 and row.strategy else []
    oracle = ["selected on the test split"] if row.selection == "oracle_test" else []
    extra = ", ".join([*student, *strategy, *oracle])
    return f"{row.method} ({extra})" if extra else row.method

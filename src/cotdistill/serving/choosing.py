"""The system of a run that is asked: a trained model with a strategy, the best on validation.

Never on test: what was chosen by its test score would be promised too much. Validation accuracies
are those of `scores.json` where the recipe evaluates on validation, else those that selected the
epoch in training (greedy).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.errors import UserError
from cotdistill.recipe import Entry
from cotdistill.runs.grid import Cell
from cotdistill.runs.run import Run
from cotdistill.strategies.combined import Combined
from cotdistill.strategies.pass_at_k import PassAtK
from cotdistill.util.files import read_json


@dataclass(frozen=True)
class Contender:
    """A model of the grid with a strategy, and its accuracy on validation where that is known."""

    cell: Cell
    strategy: Entry
    validation: float | None = None

    @property
    def label(self) -> str:
        """The name in lists."""
        cell = self.cell
        known = (
            f", {100 * self.validation:.1f} % on validation" if self.validation is not None else ""
        )
        where = f"task {cell.task.label}, student {cell.student.label}, seed {cell.seed}"
        return f"{cell.method.label!r} with {self.strategy.label!r} ({where}{known})"

    def to_json(self) -> dict[str, Any]:
        """Return its labels, and its accuracy on validation or None."""
        return {**_labels(self), "validation": self.validation}


def choose(run: Run, **wanted: str | int | None) -> Contender:
    """Return the contender with these labels (task, method, student, strategy, seed).

    Where several are left, it is the best on validation; of equals, the first in the recipe.

    Raises:
        UserError: none or, without validation accuracies, several are left, which are listed; or
            nothing is trained yet, or for another recipe or version.
    """
    given = {key: value for key, value in wanted.items() if value is not None}
    everything = list(_contenders(run))
    # A prompted teacher or an untrained student is no distilled system: only by name.
    offered = [one for one in everything if "method" in given or one.cell.method.plugin.rounds]
    found = [one for one in offered if given.items() <= _labels(one).items()]
    if not found:
        asked = ", ".join(f"{key} {value!r}" for key, value in given.items())
        raise UserError(
            f"{run.folder}: nothing with {asked or 'a trained model'}; {_listed(everything)}"
        )
    if len({one.cell.task.label for one in found}) > 1:
        raise UserError(f"{run.folder}: several tasks; choose one with `--task`: {_listed(found)}")
    _refuse_gold(found)
    known = [one for one in found if one.validation is not None]
    first = found[0]
    if known:
        return max(known, key=lambda one: one.validation or 0.0)
    if all(_labels(one) | {"seed": 0} == _labels(first) | {"seed": 0} for one in found):
        return first
    trained = [run.train_artifact(one.cell) for one in found]
    if not any(artifact.metadata for artifact in trained):
        trained[0].require("train")
    raise UserError(
        f"{run.folder}: no accuracy on validation says which is best (`evaluate_on: [validation, "
        f"test]` measures it); choose with `--method` and `--strategy`: {_listed(found)}"
    )


def _contenders(run: Run) -> Iterator[Contender]:
    scores = _validation_scores(run)
    for cell, strategy in itertools.product(run.cells(), run.recipe.strategies):
        labels = cell.labels("validation", strategy)
        if cell.method.plugin.prompted_role == "teacher":
            labels["student"] = ""  # as scores have it
        scored = scores.get(_key(labels))
        yield Contender(cell, strategy, _trained(run, cell, strategy) if scored is None else scored)


def _labels(one: Contender) -> dict[str, Any]:
    labels = one.cell.labels("validation", one.strategy)
    return {key: value for key, value in labels.items() if key != "split"}


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("task", "method", "student", "strategy", "seed"))


def _validation_scores(run: Run) -> dict[tuple[Any, ...], float]:
    path = run.folder / "scores.json"
    scores = read_json(path) if path.exists() else {}
    if scores.get("made_from") != run.scores_made_from:
        return {}  # of another recipe, or not there
    rows = [row for row in scores["rows"] if row["split"] == "validation"]
    return {
        _key({**row, "seed": seed}): accuracy
        for row in rows
        for seed, accuracy in zip(row["seeds"], row["by_seed"], strict=True)
    }


def _trained(run: Run, cell: Cell, strategy: Entry) -> float | None:
    """Return the accuracy that selected the kept epoch, where that was on validation and greedy."""
    if cell.method.train.selection != "accuracy" or strategy.name != "greedy":
        return None
    roles = (run.train_artifact(cell).metadata or {}).get("roles", {})
    for notes in reversed(roles.values()):
        for entry in notes.get("history", ()):
            if entry.get("epoch") == notes["epoch"] and "accuracy" in entry:
                return float(entry["accuracy"])
    return None


def _refuse_gold(found: Sequence[Contender]) -> None:
    for plugin in (one.strategy.plugin for one in found):
        inner = [entry["name"] for entry in plugin.of] if isinstance(plugin, Combined) else []
        if isinstance(plugin, PassAtK) or "pass_at_k" in inner:
            raise UserError(
                "pass_at_k looks at the gold answer, and a question that is asked has none; "
                "choose another `--strategy`"
            )


def _listed(found: Sequence[Contender]) -> str:
    return "there are " + "; ".join(one.label for one in found)

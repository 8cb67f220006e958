"""One run: a recipe at work in its folder, and its results as plain rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cotdistill.errors import UserError
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget, Ledger
from cotdistill.model.sharing import SharedLimits
from cotdistill.recipe import Recipe, load_recipe
from cotdistill.runs.layout import Layout
from cotdistill.runs.shards import Shard
from cotdistill.util.files import read_json, read_jsonl
from cotdistill.util.progress import Progress, SilentProgress


def open_run(path: str | Path, overrides: Sequence[str] | None = None) -> Run:
    """Open the run of a recipe file, or the run in a folder, wherever that lies now.

    Raises:
        RecipeError: there is no recipe, or it is not valid.
    """
    path, overrides = Path(path), overrides or ()
    if not path.is_dir():
        return Run(load_recipe(path, overrides))
    folder = path if path.name not in ("", "..") else path.resolve()
    recipe = load_recipe(folder / "recipe.yaml", overrides)
    return Run(recipe.model_copy(update={"output": folder.parent, "name": folder.name}))


class Run(Layout):
    """A recipe at work in its folder. Made again from the recipe it finds what was done before."""

    def __init__(
        self,
        recipe: Recipe,
        progress: Progress | None = None,
        shard: Shard | None = None,
        shared: SharedLimits | None = None,
    ) -> None:
        super().__init__(recipe, shard)
        self.shared = shared
        self.progress = progress or SilentProgress()
        self.ledger = Ledger()

    @property
    def budget(self) -> Budget:
        """The recipe's budget."""
        return Budget(money=self.recipe.budget.usd, tokens=self.recipe.budget.tokens)

    def note_spending(self) -> None:
        """Write `ledger.json` by the sums in the run's log, where shards have added to it."""
        with CompletionLog(self.log, run=self.recipe.name) as log:
            self.ledger.follow(log)
        self.ledger.write(self.folder / "ledger.json")

    def spent(self) -> dict[str, Any]:
        """Return what all calls of this run spent, by role, as `ledger.json` has it."""
        path = self.folder / "ledger.json"
        found = read_json(path) if path.exists() else {}
        roles = found.get("roles") if isinstance(found, dict) else None
        return roles if isinstance(roles, dict) else {}  # a damaged ledger says nothing

    def scores(self) -> list[dict[str, Any]]:
        """Return one row for each task, split, student, method and strategy (seeds combined).

        Raises:
            UserError: the run has not been evaluated.
        """
        path = self.folder / "scores.json"
        if not path.exists():
            raise UserError(f"{path}: not there; run the stage evaluate first")
        rows: list[dict[str, Any]] = read_json(path)["rows"]
        return rows

    def rationales(self) -> Iterator[dict[str, Any]]:
        """Yield the candidate rationales; `dropped_by` and `reason` are None for those kept."""
        for task, method in self.trained():
            artifact = self.curate_artifact(task, method)
            artifact.require("curate")
            where = {"task": task.label, "method": method.label}
            for row in read_jsonl(artifact.folder / "kept.jsonl"):
                yield {**where, "dropped_by": None, "reason": None, **row}
            for row in read_jsonl(artifact.folder / "dropped.jsonl"):
                yield {**where, "dropped_by": row.pop("filter"), **row}

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield every answer with its question, gold answer and, once evaluated, its verdict."""
        for cell, split, strategy in self.answered():
            artifact = self.infer_artifact(cell, split, strategy)
            artifact.require("infer")
            where = cell.labels(split, strategy)
            scored = artifact.folder / "scored.jsonl"
            rows = read_jsonl(scored) if scored.exists() else ()
            verdicts = {row["question_id"]: row["verdict"] for row in rows}
            answers = read_jsonl(artifact.folder / "answers.jsonl")
            for question, row in zip(self.questions(cell.task, split), answers, strict=True):
                asked = {"question": question.text, "gold": question.answer}
                yield {**where, **asked, "verdict": verdicts.get(question.id), **row}

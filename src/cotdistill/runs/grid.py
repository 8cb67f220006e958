"""One run: the recipe's grid as cells, where each stage's work lies, what it is made from, and who answers an `ask`."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.checkpoints.bundled import locate
from cotdistill.contracts import Ask, Engine, EnginePlugin, Filter, Method, Model, Split
from cotdistill.errors import DataError, RecipeError
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.client import Asker
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget as SpendingLimit
from cotdistill.model.ledger import Ledger
from cotdistill.prompting.exemplars import draw_exemplars, refuse_test_exemplars
from cotdistill.recipe import Entry, MethodEntry, Recipe, StudentEntry
from cotdistill.records import Completion, Prompt, Question
from cotdistill.runs.store import Artifact
from cotdistill.students.loading import load_base, load_student
from cotdistill.util.files import read_json, read_records
from cotdistill.util.naming import folder_name
from cotdistill.util.progress import Progress

__all__ = ["Cell", "Run", "checkpoint_stamp"]


@dataclass(frozen=True)
class Cell:
    """One trained (or prompted) model of the grid: what is trained once and answered with every strategy."""

    task: Entry
    method: MethodEntry
    student: StudentEntry
    seed: int

    @property
    def label(self) -> str:
        """As progress lines name it."""
        return f"{self.task.label} · {self.method.label} · seed {self.seed}"


class Run:
    """A recipe at work in its folder."""

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.recipe = recipe
        self.progress = progress
        self.folder = recipe.folder
        self.ledger = Ledger()
        self._earlier = self.sessions()

    def sessions(self) -> list[dict[str, Any]]:
        """What each call of this run spent so far, as `ledger.json` has it."""
        path = self.folder / "ledger.json"
        if not path.exists():
            return []
        latest = read_json(path)
        sessions = [*latest.pop("earlier", []), latest]
        return [
            session for session in sessions if "roles" in session
        ]  # a damaged ledger has none to tell of

    def questions(self, task: Entry, split: Split) -> Iterator[Question]:
        """The questions of a split that this run uses, in order.

        Raises:
            DataError: the train or test split is empty.
        """
        found = False
        for question in itertools.islice(task.plugin.questions(split), self.recipe.limit.of(split)):
            found = True
            yield question
        if not found and split != "validation":
            raise DataError(
                f"task {task.label}: the {split} split is empty; check the task's files and splits"
            )

    @functools.cache  # noqa: B019  a run lives as long as its process
    def digest(self, task_label: str, split: Split) -> tuple[str, int]:
        """Fingerprint of all content of a split, and its size: changed data is never taken for the old."""
        (task,) = (entry for entry in self.recipe.tasks if entry.label == task_label)
        sha, count = hashlib.sha256(), 0
        for question in self.questions(task, split):
            sha.update(json.dumps(question.to_json(), ensure_ascii=False).encode())
            count += 1
        return sha.hexdigest()[:32], count

    def cells(self) -> Iterator[Cell]:
        """The grid. What a student or a seed cannot change is there once."""
        for task, method, student, seed in itertools.product(
            self.recipe.tasks, self.recipe.methods, self.recipe.students, self.recipe.seeds
        ):
            trained = bool(method.plugin.rounds)
            first_seed = seed == self.recipe.seeds[0]
            first_student = student is self.recipe.students[0]
            if trained or (first_seed and (first_student or method.plugin.prompted_role == "base")):
                yield Cell(task, method, student, seed)

    def answered(self) -> Iterator[tuple[Cell, Split, Entry]]:
        """Every cell with every evaluated split and strategy: one file of answers each."""
        for cell in self.cells():
            for split in self.recipe.evaluate_on:
                for strategy in self.recipe.strategies:
                    yield cell, split, strategy

    def evaluated(self) -> Iterator[tuple[Entry, Split]]:
        """Every task with every evaluated split."""
        return itertools.product(self.recipe.tasks, self.recipe.evaluate_on)

    @property
    def baseline(self) -> str:
        """Label of the method that all others are compared with: answer-only where the recipe has it."""
        methods = self.recipe.methods
        return next(
            (method.label for method in methods if method.name == "answer_only"), methods[0].label
        )

    def method(self, task: Entry, method: MethodEntry) -> Method:
        """The method with its exemplars in its prompts."""
        plugin: Method = method.plugin
        return (
            plugin.with_exemplars(self.exemplars(task, method)) if plugin.exemplar_count else plugin
        )

    def exemplars(self, task: Entry, method: MethodEntry) -> Sequence[Question]:
        """The exemplars of a method, drawn from the training split alone.

        Raises:
            RecipeError: the recipe's exemplars are in the test split, or the task has none that are worked out.
        """
        plugin: Method = method.plugin
        if plugin.exemplar_count == 0:
            return ()
        given = self.recipe.exemplars
        pool = read_records(given, Question) if given is not None else self.questions(task, "train")
        chosen = draw_exemplars(pool, plugin.exemplar_count, plugin.exemplar_draw)
        refuse_test_exemplars(chosen, self.questions(task, "test"))
        if len(chosen) < plugin.exemplar_count:
            raise RecipeError(
                f"method {method.label} shows {plugin.exemplar_count} exemplars and {given or task.label} has {len(chosen)} "
                "with an answer: lower `shots`, or name a JSONL file of worked questions as `exemplars`"
            )
        return chosen

    def selection_split(self, method: MethodEntry) -> Split:
        """The split whose accuracy chooses the epoch that is kept."""
        return "test" if method.train.selection == "oracle_test" else "validation"

    def filters(self, method: MethodEntry) -> list[tuple[str, Filter]]:
        return [(entry.name, entry.plugin) for entry in method.filters]

    # Where each stage's work lies and what it is made from.

    def generate_artifact(self, task: Entry, method: MethodEntry) -> Artifact:
        made_from = {
            "questions": self.digest(task.label, "train"),
            "answer_type": task.plugin.answer_type.model_dump(mode="json"),
            "method": method.identity(),
            "exemplars": [exemplar.to_json() for exemplar in self.exemplars(task, method)],
            "teacher": self.recipe.teacher.identity(),
            "teacher_files": checkpoint_stamp(_teacher_checkpoint(self.recipe.teacher)),
        }
        return Artifact(self._folder(task, method) / "generate", made_from)

    def curate_artifact(self, task: Entry, method: MethodEntry) -> Artifact:
        filters = [entry.identity() for entry in method.filters]
        generate = self.generate_artifact(task, method)
        made_from = {"generate": generate.fingerprint, "filters": filters}
        if transient := (generate.metadata or {}).get("transient"):
            made_from["transient"] = transient  # what is asked again is curated and learnt again
        return Artifact(self._folder(task, method) / "curate", made_from)

    def train_artifact(self, cell: Cell) -> Artifact:
        made_from = {
            "curate": self.curate_artifact(cell.task, cell.method).fingerprint,
            "validation": self.digest(cell.task.label, self.selection_split(cell.method)),
            "student": cell.student.settings.model_dump(mode="json"),
            "student_files": checkpoint_stamp(_student_checkpoint(cell.student)),
            "train": cell.method.train.model_dump(mode="json"),
            "seed": cell.seed,
        }
        return Artifact(self._cell_folder(cell) / "train", made_from)

    def infer_artifact(self, cell: Cell, split: Split, strategy: Entry) -> Artifact:
        made_from = {
            "train": self.train_artifact(cell).fingerprint,
            "questions": self.digest(cell.task.label, split),
            "strategy": strategy.identity(),
            "engine": self.recipe.engine.identity(),
            "guide": self.recipe.guide.identity() if self.recipe.guide else None,
        }
        return Artifact(
            self._cell_folder(cell) / "infer" / f"{split}-{folder_name(strategy.label)}", made_from
        )

    def _folder(self, task: Entry, method: MethodEntry) -> Path:
        return self.folder / folder_name(task.label) / folder_name(method.label)

    def _cell_folder(self, cell: Cell) -> Path:
        return (
            self._folder(cell.task, cell.method)
            / folder_name(cell.student.label)
            / f"seed-{cell.seed}"
        )

    # Who answers an `ask`.

    def load_role(self, student: StudentEntry) -> Callable[[Path], Engine]:
        """Loader of a trained checkpoint of the student, speaking the student's own prompt format."""
        engine: EnginePlugin = self.recipe.engine.plugin
        return lambda checkpoint: load_student(engine, student.settings, checkpoint)

    @asynccontextmanager
    async def open_ask(
        self, models: Mapping[str, Model], student: StudentEntry | None = None
    ) -> AsyncIterator[Ask]:
        """An `Ask` of the given models; teacher, guide and the untrained base are opened when they are first asked."""
        waiting: dict[str, Callable[[], Model]] = {"teacher": self.recipe.teacher.plugin.open}
        if self.recipe.guide is not None:
            waiting["guide"] = self.recipe.guide.plugin.open
        if student is not None:
            untrained = student.settings.model_copy(update={"prompt_end": "", "target_begin": ""})
            waiting["base"] = lambda: BatchedModel(load_base(self.recipe.engine.plugin, untrained))
        limit = self.recipe.budget
        budget = SpendingLimit(money=limit.usd, tokens=limit.tokens)
        with CompletionLog(self.recipe.completions or self.folder / "completions.sqlite") as log:
            async with Asker(models, log, ledger=self.ledger, budget=budget) as asker:

                async def ask(
                    prompt: Prompt, *, role: str = "teacher", **settings: Any
                ) -> list[Completion]:
                    if role in waiting:
                        asker.add(role, waiting.pop(role)())
                    return await asker(prompt, role=role, **settings)

                try:
                    yield ask
                finally:
                    self.ledger.write(self.folder / "ledger.json", {"earlier": self._earlier})


def _teacher_checkpoint(teacher: Entry) -> str | Path | None:
    return "lab-teacher" if teacher.name == "lab" else teacher.settings.get("model")


def _student_checkpoint(student: StudentEntry) -> str | Path | None:
    return student.settings.model


def checkpoint_stamp(model: str | Path | None) -> dict[str, Any] | None:
    """Size and time of the files of a local checkpoint, so that a replaced one is noticed; None for a hub id."""
    path = Path(locate(model or ""))
    if model is None or not path.exists():
        return None
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = {path.name: path.stat() for path in files if path.is_file() and path.suffix != ".md"}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}

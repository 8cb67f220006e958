"""The artifacts of a run: their places in its folder and their inputs."""

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cotdistill import plugins
from cotdistill.checkpoints.hashes import checkpoint_hash
from cotdistill.contracts import EnginePlugin, Method, Split, identity
from cotdistill.engines.auto import AutoEngine, choose
from cotdistill.errors import StoreError
from cotdistill.recipe import Entry, MethodEntry, Recipe
from cotdistill.records import Question
from cotdistill.runs.fingerprints import contents, reading_code, source
from cotdistill.runs.grid import Cell, Grid
from cotdistill.runs.shards import PLACE, Shard
from cotdistill.runs.store import Artifact
from cotdistill.util.files import read_json, write_json
from cotdistill.util.naming import fingerprint, folder_name

ENGINE = "engine.json"
"""File of the run folder that keeps what `engine: auto` came to."""


class Layout(Grid):
    """The grid with its artifacts: one folder for each piece of work, keyed by all its inputs.

    A fingerprint holds what can change the result and nothing else: data, settings that are not
    marked as operational, local checkpoints, and the source of the plug-ins that make prompts or
    read replies. Where the work is done, how fast, and at what price is not in it.
    """

    def __init__(self, recipe: Recipe, shard: Shard | None = None) -> None:
        super().__init__(recipe)
        self.folder = recipe.folder
        self.shard = shard
        self.work = self.folder / PLACE / shard.name if shard is not None else self.folder
        """Folder that this call writes to: the run's own, or that of its shard."""

    @property
    def log(self) -> Path:
        """The run's completion log."""
        return self.recipe.completions or self.folder / "completions.sqlite"

    @functools.cached_property
    def engine(self) -> Entry:
        """The engine that answers: the recipe's, or what `auto` came to when the run began to."""
        if not isinstance(self.recipe.engine.plugin, AutoEngine):
            return self.recipe.engine
        note = self.folder / ENGINE
        entry = read_json(note) if note.exists() else self._choice[0]
        if not isinstance(entry, dict):
            raise StoreError(f"{note}: names no engine; delete the file to choose again")
        plugin = plugins.build("engines", entry, EnginePlugin)
        return Entry(label="auto", name=entry["name"], settings=entry, plugin=plugin)

    def keep_engine(self) -> str:
        """Write down what `auto` comes to on this machine, which is to answer; return a line that
        says so and why, "" where there was nothing to choose."""
        note = self.folder / ENGINE
        if not isinstance(self.recipe.engine.plugin, AutoEngine) or note.exists():
            return ""
        entry, why = self._choice
        write_json(note, entry)
        return f"engine: {entry['name']} in {entry['dtype']} (auto: {why})"

    @functools.cached_property
    def _choice(self) -> tuple[dict[str, str], str]:
        recipe = self.recipe
        return choose(
            [student.plugin.checkpoint for student in recipe.students],
            rules=any(strategy.plugin.rules for strategy in recipe.strategies),
            models=max(sum(map(len, method.plugin.rounds)) for method in recipe.methods),
        )

    @functools.cache  # noqa: B019  a run lives as long as its process
    def digest(self, task_label: str, split: Split) -> tuple[str, int]:
        """Return the hash of all content of a split and its size.

        Noted in the run folder, so that a finished run is not read again to find that it is
        finished. A note holds while the data files, the settings and the code that reads them have
        the same sizes and times.
        """
        (task,) = (entry for entry in self.recipe.tasks if entry.label == task_label)
        stamp = task.plugin.stamp()
        if stamp is None:
            return super().digest(task_label, split)
        settings = [task.name, task.plugin.model_dump(mode="json"), split]
        key = fingerprint([settings, self.recipe.limit.of(split), stamp, reading_code()])
        path = self.folder / "digests.json"
        notes = self._digests()
        if key not in notes:
            notes[key] = super().digest(task_label, split)
            # Without the note the data are read again, which is all that can happen.
            if self.shard is None and self.folder.is_dir():
                with contextlib.suppress(StoreError):
                    write_json(path, notes)
        digest, count = notes[key]
        return digest, count

    def _digests(self) -> dict[str, tuple[str, int]]:
        try:
            found = json.loads((self.folder / "digests.json").read_text("utf-8"))
            return {key: (str(digest), int(count)) for key, (digest, count) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):  # absent or damaged
            return {}

    # Looked at once in a call: a file of theirs that lies elsewhere costs a request.
    @functools.cached_property
    def _teacher(self) -> dict[str, Any]:
        return _entry(self.recipe.teacher)

    @functools.cached_property
    def _guide(self) -> dict[str, Any] | None:
        return _entry(self.recipe.guide) if self.recipe.guide else None

    def share(self, artifact: Artifact) -> Artifact:
        """Return this call's share of an artifact: all of it where the run is not shared out."""
        if self.shard is None:
            return artifact
        made_from = [artifact.fingerprint, self.shard.index, self.shard.count]
        return Artifact(self.work / artifact.folder.relative_to(self.folder), made_from)

    def share_of(self, task: Entry, split: Split) -> Iterator[Question]:
        """Yield this call's share of the questions of a split, in order."""
        for question in self.questions(task, split):
            if self.shard is None or self.shard.has(question):
                yield question

    def share_size(self, task: Entry, split: Split) -> int:
        """Return the number of questions in this call's share."""
        if self.shard is None:
            return self.digest(task.label, split)[1]
        return sum(1 for _ in self.share_of(task, split))

    def generate_artifact(self, task: Entry, method: MethodEntry) -> Artifact:
        made_from = {
            "questions": self.digest(task.label, "train"),
            "answer_type": _with_source(task.plugin.answer_type),
            "method": _entry(method),
            "exemplars": [exemplar.to_json() for exemplar in self.exemplars(task, method)],
            "teacher": self._teacher,
        }
        return Artifact(self._folder(task, method) / "generate", made_from)

    def curate_artifact(self, task: Entry, method: MethodEntry) -> Artifact:
        filters = [_entry(entry) for entry in method.filters]
        generate = self.generate_artifact(task, method)
        made_from = {"generate": generate.fingerprint, "filters": filters}
        if transient := (generate.metadata or {}).get("transient"):
            made_from["transient"] = transient  # what is asked again is curated and learnt again
        return Artifact(self._folder(task, method) / "curate", made_from)

    def train_artifact(self, cell: Cell) -> Artifact:
        made_from = {
            "curate": self.curate_artifact(cell.task, cell.method).fingerprint,
            "validation": self.digest(cell.task.label, self.selection_split(cell.method)),
            "student": _entry(cell.student),
            "student_files": checkpoint_hash(cell.student.plugin.checkpoint),
            "train": identity(cell.method.train),
            "objectives": [_with_source(one) for one in cell.method.objectives],
            "seed": cell.seed,
        }
        return Artifact(self._cell_folder(cell) / "train", made_from)

    def infer_artifact(self, cell: Cell, split: Split, strategy: Entry) -> Artifact:
        made_from = {
            "train": self.train_artifact(cell).fingerprint,
            "questions": self.digest(cell.task.label, split),
            "strategy": _entry(strategy),
            "engine": _entry(self.engine),
            "guide": self._guide,
        }
        name = f"{split}-{folder_name(strategy.label)}"
        return Artifact(self._cell_folder(cell) / "infer" / name, made_from)

    def escalation_artifact(self, cell: Cell, strategy: Entry, teacher: Method) -> Artifact:
        made_from = {
            "student": self.infer_artifact(cell, "validation", strategy).fingerprint,
            "teacher": self._teacher,
            "method": _with_source(teacher),
        }
        name = f"escalate-{folder_name(strategy.label)}"
        return Artifact(self._cell_folder(cell) / name, made_from)

    @property
    def scores_made_from(self) -> str:
        """Fingerprint of everything that the scores are made from."""
        return fingerprint([self.infer_artifact(*one).fingerprint for one in self.answered()])

    def _folder(self, task: Entry, method: MethodEntry) -> Path:
        return self.folder / folder_name(task.label) / folder_name(method.label)

    def _cell_folder(self, cell: Cell) -> Path:
        student = folder_name(cell.student.label)
        return self._folder(cell.task, cell.method) / student / f"seed-{cell.seed}"


def _entry(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, **_with_source(entry.plugin)}


def _with_source(plugin: Any) -> dict[str, Any]:
    # The keys are no identifiers, so that no setting can have their names.
    read = {"read files": files} if (files := contents(plugin)) else {}
    return {**identity(plugin), "class source": source(type(plugin)), **read}

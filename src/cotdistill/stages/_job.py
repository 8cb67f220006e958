"""A job of a stage: one artifact to make, the same in this process and in any other."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cotdistill.contracts import Split
from cotdistill.recipe import Entry, parse_recipe, resolved_yaml
from cotdistill.runs.run import Run
from cotdistill.runs.shards import join, refuse_unfinished
from cotdistill.runs.store import Artifact


@dataclass(frozen=True)
class Rows:
    """One row for each question of a split: what a job that can be shared out writes.

    `key` is the field of a row that holds its question's id.
    """

    file: str
    key: str
    task: Entry
    split: Split


@dataclass(frozen=True)
class StageJob:
    """A call of a stage's function; pickled it is recipe, stage and key (`contracts.Job`)."""

    run: Run
    do: Callable[..., None]
    about: tuple[Any, ...] = ()
    artifact: Artifact | None = None
    """The artifact it makes; None for a job that is cheap and done each time."""
    rows: Rows | None = None
    """None for a job that cannot be shared out."""

    @property
    def stage(self) -> str:
        return self.do.__module__.rpartition(".")[2]

    @property
    def key(self) -> str:
        folder = self.artifact.folder if self.artifact is not None else self.run.folder
        return str(folder.relative_to(self.run.folder))

    def __call__(self) -> None:
        if self.artifact is None or not self.artifact.finished:
            self.do(self.run, *self.about)

    def parts(self, folders: Sequence[Path]) -> list[Artifact]:
        """Return the shards' artifacts, given the folders of all shards in order."""
        assert self.artifact is not None
        made_from, count = self.artifact.fingerprint, len(folders)
        return [
            Artifact(folder / self.key, [made_from, number, count])
            for number, folder in enumerate(folders, 1)
        ]

    def join(self, folders: Sequence[Path]) -> dict[str, Any]:
        """Make the artifact of those of all its shards; return its metadata.

        Raises:
            UserError: one of them is not finished from these very inputs.
            StoreError: a row is missing.
        """
        assert self.rows is not None and self.artifact is not None
        parts, rows = self.parts(folders), self.rows
        refuse_unfinished(self.key, parts)
        questions = self.run.questions(rows.task, rows.split)
        return join(self.artifact, parts, questions, rows.file, rows.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return find_job, (resolved_yaml(self.run.recipe), self.stage, self.key)


def find_job(recipe: str, stage: str, key: str) -> StageJob:
    """Return the job of a resolved recipe, as YAML, that has this key."""
    run = Run(parse_recipe(yaml.safe_load(recipe)))
    module: Any = importlib.import_module(f"cotdistill.stages.{stage}")
    job: StageJob = next(job for job in module.jobs(run) if job.key == key)
    return job

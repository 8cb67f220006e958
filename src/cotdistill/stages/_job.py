"""A job of a stage: one artifact to make, the same in this process and in any other."""

from __future__ import annotations

import importlib
import shutil
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from cotdistill.contracts import Split
from cotdistill.errors import UserError
from cotdistill.model.completion_log import CompletionLog, Counts
from cotdistill.model.ledger import Budget
from cotdistill.model.merging import merge_log
from cotdistill.model.sharing import SharedLimits
from cotdistill.recipe import Entry, parse_recipe, resolved_yaml
from cotdistill.runs.run import Run
from cotdistill.runs.shards import Shard, clear, join, refuse_unfinished
from cotdistill.runs.store import Artifact, locked
from cotdistill.util.progress import Progress


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
    processes: int | Literal["auto"] = 1
    locks: bool = False
    """Whether to hold the folder of its shard while it runs."""

    @property
    def stage(self) -> str:
        return self.do.__module__.rpartition(".")[2]

    @property
    def key(self) -> str:
        folder = self.artifact.folder if self.artifact is not None else self.run.folder
        return str(folder.relative_to(self.run.folder))

    @property
    def finished(self) -> bool:
        return self.artifact is not None and self.artifact.finished

    @property
    def progress(self) -> Progress:
        return self.run.progress

    @property
    def place(self) -> str:
        return str(self.run.work)

    def __call__(self) -> None:
        with locked(self.run.work) if self.locks else nullcontext():
            if not self.finished:
                self.do(self.run, *self.about)

    def spending(self) -> tuple[Budget, Counts]:
        """See `contracts.Job`."""
        if not self.run.log.exists():
            return self.run.budget, defaultdict(float)
        with CompletionLog(self.run.log, run=self.run.recipe.name, read_only=True) as log:
            return self.run.budget, log.read_counts()

    def shares(self, count: int) -> list[StageJob]:
        """See `contracts.Job`."""
        if self.artifact is None:
            return []
        # The shards of several methods have one log: what two of them ask is asked once.
        own = "" if self.stage == "generate" else self.key
        count = count if self.rows is not None else 1
        return [self._share(Shard(number, count, own)) for number in range(1, count + 1)]

    def _share(self, shard: Shard) -> StageJob:
        assert self.artifact is not None
        run, artifact = Run(self.run.recipe, self.run.progress, shard), self.artifact
        if self.rows is not None:
            made_from = [artifact.fingerprint, shard.index, shard.count]
            artifact = Artifact(run.work / self.key, made_from)
        return replace(self, run=run, artifact=artifact)

    def inside(self, worker: str, ask: Callable[..., Awaitable[Any]], progress: Any) -> None:
        """See `contracts.Job`."""
        self.run.shared, self.run.progress = SharedLimits(worker, ask), progress

    def gather(self, shares: Sequence[StageJob]) -> None:
        """See `contracts.Job`."""
        for share in shares:
            merge_log(share.run.work / "completions.sqlite", self.run.log)
        self.run.note_spending()
        if self.rows is not None:
            done = self.join([share.run.work for share in shares])
            for share in shares:  # of what failed for now the rest need not be asked again
                if share.artifact is not None and not done.get("transient"):
                    shutil.rmtree(share.artifact.folder)
        for share in shares:
            clear(share.run.work)

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
        shard = self.run.shard
        of = (f"{shard.index}/{shard.count}", shard.job) if shard is not None else ()
        made_from = self.artifact.fingerprint if self.artifact is not None else ""
        return find_job, (resolved_yaml(self.run.recipe), self.stage, self.key, made_from, *of)


def find_job(
    recipe: str, stage: str, key: str, made_from: str, shard: str = "", job: str = ""
) -> StageJob:
    """Return the job of a resolved recipe, as YAML, that has this key; or its share of a shard.

    Raises:
        UserError: here it would be made from other things, and nobody would take its result.
    """
    part = replace(Shard.parse(shard), job=job) if shard else None
    run = Run(parse_recipe(yaml.safe_load(recipe)), shard=part)
    module: Any = importlib.import_module(f"cotdistill.stages.{stage}")
    found: StageJob = next(job for job in module.jobs(run) if job.key == key)
    if found.artifact is not None and found.artifact.fingerprint != made_from:
        raise UserError(
            f"{key}: node {socket.gethostname()} has other data, checkpoints or plug-ins than the"
            " caller; the same files and the same code have to be on all nodes"
        )
    return replace(found, locks=part is not None)

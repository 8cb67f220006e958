"""A job of a stage: one artifact to make, the same in this process and in any other."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from cotdistill.recipe import parse_recipe, resolved_yaml
from cotdistill.runs.run import Run
from cotdistill.runs.store import Artifact


@dataclass(frozen=True)
class StageJob:
    """A call of a stage's function; pickled it is recipe, stage and key (`contracts.Job`)."""

    run: Run
    do: Callable[..., None]
    about: tuple[Any, ...] = ()
    artifact: Artifact | None = None
    """The artifact it makes; None for a job that is cheap and done each time."""

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

    def __reduce__(self) -> tuple[Any, ...]:
        return find_job, (resolved_yaml(self.run.recipe), self.stage, self.key)


def find_job(recipe: str, stage: str, key: str) -> StageJob:
    """Return the job of a resolved recipe, as YAML, that has this key."""
    run = Run(parse_recipe(yaml.safe_load(recipe)))
    module: Any = importlib.import_module(f"cotdistill.stages.{stage}")
    job: StageJob = next(job for job in module.jobs(run) if job.key == key)
    return job

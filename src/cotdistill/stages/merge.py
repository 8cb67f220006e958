"""Merge: the shards of generate or infer become what one run would have written."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cotdistill.errors import StoreError
from cotdistill.model.merging import merge_log
from cotdistill.recipe import Recipe
from cotdistill.runs.run import Run
from cotdistill.runs.shards import PLACE, found_shards, in_order, refuse_unfinished
from cotdistill.runs.store import locked
from cotdistill.stages import generate, infer


def merge_shards(recipe: Recipe, folders: Sequence[Path] = ()) -> Iterator[str]:
    """Join a run's shards, those in its folder if none are named; yield a line for each step.

    Repeated after a kill, or after a shard went on, it adds what is new.

    Raises:
        UserError: a shard is missing, unfinished, or was made for another recipe.
        StoreError: a log or file cannot be read or written.
    """
    run = Run(recipe)
    places = in_order(folders) if folders else found_shards(run.folder)
    with locked(run.folder):
        jobs = [
            job
            for job in (*generate.jobs(run), *infer.jobs(run))
            if any((place / job.key).exists() for place in places)
        ]
        for job in jobs:
            refuse_unfinished(job.key, job.parts(places))
        yield merge_logs(run, (place / "completions.sqlite" for place in places))
        for job in jobs:
            done = job.join(places)
            again = done.get("transient", 0)
            note = f"; {again:,} failed for now: run the shards again, then merge" if again else ""
            yield f"{job.key}: {done['questions']:,} questions of {len(places)} shards{note}"


def merge_logs(run: Run, logs: Iterable[Path]) -> str:
    """Join logs of shards into the run's; return a line that says so."""
    count = different = 0
    for count, source in enumerate(logs, 1):  # noqa: B007
        different += merge_log(source, run.log)
    run.note_spending()
    asked_twice = f"; {different:,} completions were asked for by two shards" if different else ""
    return f"{run.log}: {count} logs joined{asked_twice}"


def salvage(run: Run) -> None:
    """Join the logs of shards nobody works on: what a killed call paid for is not paid again."""
    if run.shard is None:
        for path in sorted((run.folder / PLACE).glob("*/completions.sqlite")):
            with suppress(StoreError), locked(path.parent):
                merge_log(path, run.log)

"""Training on several processes: of this machine, by torchrun, or where the executor starts them.

Each process calls `learn`. The examples are read from the same file, and `batch_size` counts over
all processes, so that their number changes nothing of what is learnt. Process 0 reports in lines of
JSON.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cotdistill.contracts import TrainResult, TrainSettings
from cotdistill.errors import CotdistillError, StoreError, UserError
from cotdistill.students._training import TrainingJob, train, world
from cotdistill.util.files import read_json, write_text
from cotdistill.util.launching import LAUNCHER


def count_processes(settings: TrainSettings) -> int:
    """Return how many processes train: of `auto` one for each accelerator there is, or one."""
    if settings.processes != "auto":
        return settings.processes
    launcher = LAUNCHER.get()
    there = launcher.accelerators() if launcher else torch.accelerator.device_count()
    return max(1, min(there, settings.batch_size))


def train_on_processes(
    job: TrainingJob,
    count: int,
    on_progress: Callable[[int, str], None],
    log: Callable[[str], None],
) -> TrainResult:
    """Train by `count` processes; on accelerators each has its own.

    Raises:
        UserError: as a training in this process would.
        StoreError: a process died; the message names the file with what it said.
    """
    description = job.out.with_name(job.out.name + ".job.json")
    write_text(description, job.model_dump_json())
    errors = job.out.with_name(job.out.name + ".log")
    launcher = LAUNCHER.get()
    start = partial(launcher.start, learn) if launcher else _torchrun
    with closing(start(description, count, errors)) as lines:
        for line in lines:
            told = json.loads(line) if line.startswith("{") else {}
            if "error" in told:
                raise UserError(told["error"])
            if "steps" in told:
                on_progress(told["steps"], told["note"])
            elif "line" in told:
                log(told["line"])
    description.unlink()
    errors.unlink(missing_ok=True)
    return TrainResult.from_json(read_json(job.out / "training.json"))


def _torchrun(description: Path, count: int, errors: Path) -> Generator[str]:
    """Yield what the processes of this module tell (see `Launcher.start`)."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    with (
        errors.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            [sys.executable, *command, "-m", "cotdistill.students._processes", str(description)],
            env={"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        # Where this process dies, the pipe breaks and the others end at their next line.
        assert process.stdout is not None
        try:
            yield from process.stdout
        except BaseException:
            process.terminate()
            process.wait()  # Popen does not after Ctrl-C, and they still write to the folder
            raise
    if process.returncode != 0:
        raise StoreError(f"training ended with status {process.returncode}; {errors} says why")


def learn(description: Path, tell: Callable[[str], None]) -> None:
    """Train as the description says, as one process of the group that torch's variables name."""

    def report(**fields: Any) -> None:
        if world()[0] == 0:
            tell(json.dumps(fields))

    try:
        train(
            TrainingJob.model_validate_json(description.read_text("utf-8")),
            None,
            lambda steps, note: report(steps=steps, note=note),
            lambda line: report(line=line),
        )
    except CotdistillError as error:
        tell(json.dumps({"error": str(error)}))  # that of any process: memory ends in one alone
        raise


def main(description: Path) -> None:
    """Train as one process of torchrun's."""
    try:
        learn(description, partial(print, flush=True))
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

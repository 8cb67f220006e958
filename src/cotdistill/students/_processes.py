"""Training on several processes of this machine: torchrun starts this module once for each.

The examples are read from the same file, and `batch_size` counts over all processes, so that their
number changes nothing of what is learnt. Process 0 reports in lines of JSON.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cotdistill.contracts import TrainResult, TrainSettings
from cotdistill.errors import CotdistillError, StoreError, UserError
from cotdistill.students._training import TrainingJob, train, world
from cotdistill.util.files import read_json, write_text


def count_processes(settings: TrainSettings) -> int:
    """Return how many processes train here: of `auto` one for each visible accelerator, or one."""
    if settings.processes != "auto":
        return settings.processes
    return max(1, min(torch.accelerator.device_count(), settings.batch_size))


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
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    failure = ""
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
            for line in process.stdout:
                told = json.loads(line) if line.startswith("{") else {}
                if "steps" in told:
                    on_progress(told["steps"], told["note"])
                elif "line" in told:
                    log(told["line"])
                failure = told.get("error", failure)
        except BaseException:
            process.terminate()
            process.wait()  # Popen does not after Ctrl-C, and they still write to the folder
            raise
    if failure:
        raise UserError(failure)
    if process.returncode != 0:
        raise StoreError(f"training ended with status {process.returncode}; {errors} says why")
    description.unlink()
    errors.unlink()
    return TrainResult.from_json(read_json(job.out / "training.json"))


def _tell(**fields: Any) -> None:
    if world()[0] == 0:
        print(json.dumps(fields), flush=True)


def main(description: Path) -> None:
    """Train as the description says; run by torchrun."""
    try:
        train(
            TrainingJob.model_validate_json(description.read_text("utf-8")),
            None,
            lambda steps, note: _tell(steps=steps, note=note),
            lambda line: _tell(line=line),
        )
    except CotdistillError as error:
        _tell(error=str(error))
        raise
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Runs the real recipes on one GPU, in order of value, within a time; a later call goes on.

    python3 gpu/run.py --seconds 420 --out "$OUT"         # in the unpacked project
    python3 gpu/run.py --rehearse --out out                # the same on a CPU: tiny grids, minutes

One line a result: recipe, task, method, strategy, seed, accuracy, questions, seconds of training
and answering. Recipes run side by side while there are free `--workers`; what fails is reported and
stops nothing else. `--out` gets `results.jsonl` and `runs.tar.gz` (logs, scores, reports, answers
and training notes without checkpoints).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plan import PLAN, Item

from cotdistill.evaluation.grid import grade
from cotdistill.recipe import load_recipe
from cotdistill.records import Answer, Verdict
from cotdistill.runs.run import Run
from cotdistill.runs.store import Artifact
from cotdistill.util.files import read_records

REHEARSAL = (
    "limit={train: 4, validation: 2, test: 2, ood: 2}",
    "seeds=[0]",
    "train={epochs: 1, max_steps: 1, batch_size: 2, selection: last}",
)


@dataclass
class Job:
    """A recipe at work in a process of its own; `waiting` are the answers not yet reported."""

    name: str
    workers: int
    run: Run
    process: subprocess.Popen[bytes]
    waiting: list[tuple[Any, str, Any, Artifact]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=420.0)
    # A process that trains or answers took up to 9.3 GB on an H100: more than 8 ran out of memory.
    parser.add_argument("--workers", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    roomy = max(("/dev/shm", "."), key=lambda place: shutil.disk_usage(place).free)
    parser.add_argument("--runs", type=Path, default=Path(roomy, "runs"))
    parser.add_argument("--only", nargs="*", default=[item.name for item in PLAN])
    parser.add_argument("--student", help="a checkpoint in place of the recipes' student")
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + arguments.seconds
    room = shutil.disk_usage(Path(arguments.runs).parent).free / 1e9
    print(f"runs in {arguments.runs}, {room:.0f} GB free", flush=True)
    queue = [item for item in PLAN if item.name in arguments.only]
    working = list[Job]()
    runs = list[Run]()
    with (arguments.out / "results.jsonl").open("a", encoding="utf-8") as results:
        while (queue or working) and time.monotonic() < deadline:
            free = arguments.workers - sum(job.workers for job in working)
            while queue and min(queue[0].workers, arguments.workers) <= free:
                item = queue.pop(0)
                free -= item.workers
                if (job := _start(item, arguments)) is not None:
                    working.append(job)
                    runs.append(job.run)
            for job in list(working):
                done = job.process.poll() is not None
                _report(job, results)
                if done:
                    working.remove(job)
                    print(f"{job.name}: done, status {job.process.returncode}", flush=True)
            time.sleep(1.0)
        for job in working:
            os.killpg(job.process.pid, signal.SIGKILL)
            print(f"{job.name}: stopped, out of time", flush=True)
            _report(job, results)
    for item in queue:
        print(f"{item.name}: not run, out of time", flush=True)
    _collect(runs, arguments.runs, arguments.out / "runs.tar.gz")


def _start(item: Item, arguments: argparse.Namespace) -> Job | None:
    overrides = [
        *item.overrides,
        f"output={arguments.runs}",
        f"executor={{name: 'pool:Pool', workers: {min(item.workers, arguments.workers)}}}",
        *([f"student={{model: {arguments.student}, label: student}}"] if arguments.student else []),
        *(REHEARSAL if arguments.rehearse else ()),
    ]
    path = Path("recipes", item.file)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    try:
        run = Run(load_recipe(path, overrides))
        waiting = [(*one, run.infer_artifact(*one)) for one in run.answered()]
    except Exception as error:  # noqa: BLE001  one recipe that cannot be read stops no other
        print(f"{item.name}: {type(error).__name__}: {error}", flush=True)
        return None
    sets = [part for override in overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "cotdistill", "run", str(path), *sets]
    with (arguments.runs / f"{item.name}.log").open("ab") as log:
        # A session of its own, so that its workers can be stopped with it.
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    return Job(item.name, item.workers, run, process, waiting)


def _report(job: Job, results: Any) -> None:
    for one in list(job.waiting):
        cell, split, strategy, artifact = one
        if artifact.metadata is None:
            continue
        job.waiting.remove(one)
        if not any(other[0] == cell for other in job.waiting):
            _free(job.run.train_artifact(cell).folder)
        answers = read_records(artifact.folder / "answers.jsonl", Answer)
        questions = list(job.run.questions(cell.task, split))
        kind = cell.task.plugin.answer_type
        right = [
            grade(kind, question, answer) is Verdict.CORRECT
            for question, answer in zip(questions, answers, strict=True)
        ]
        trained = job.run.train_artifact(cell).metadata or {}
        row = {
            "recipe": job.name,
            "task": cell.task.label,
            "split": split,
            "method": cell.method.label,
            "strategy": strategy.label,
            "seed": cell.seed,
            "accuracy": round(100 * sum(right) / len(right), 2),
            "n": len(right),
            "train_seconds": round(trained.get("seconds", 0.0), 1),
            "infer_seconds": round(artifact.metadata["seconds"], 1),
        }
        print(" ".join(str(value) for value in row.values()), flush=True)
        results.write(json.dumps(row) + "\n")
        results.flush()


def _free(folder: Path) -> None:
    """Give back the room of a checkpoint that all have asked: a sparse file of its size stays."""
    for path in folder.rglob("*.safetensors"):
        size = path.stat().st_size
        os.truncate(path, 0)
        os.truncate(path, size)


def _collect(runs: list[Run], folder: Path, path: Path) -> None:
    kept = (".json", ".jsonl", ".md", ".yaml", ".html")
    left = {"generate", "curate", "checkpoint", "examples.jsonl", "scored.jsonl"}
    with tarfile.open(path, "w:gz") as tar:
        for log in sorted(folder.glob("*.log")):
            tar.add(log, arcname=log.name)
        for run in runs:
            for file in sorted(run.folder.rglob("*")):
                inside = file.relative_to(run.folder).parts
                # What can be made again from the data stays behind, and so do checkpoints.
                if file.suffix in kept and not left & set(inside):
                    tar.add(file, arcname=str(Path(run.folder.name, *inside)))


if __name__ == "__main__":
    main()

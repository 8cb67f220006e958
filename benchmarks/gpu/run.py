"""Runs the real recipes on one GPU, in order of value, within a time; a later call goes on.

    python3 gpu/run.py --seconds 420 --out "$OUT"         # in the unpacked project
    python3 gpu/run.py --rehearse --out out                # the same on a CPU: tiny grids, minutes

One line a result: recipe, task, method, strategy, seed, accuracy, questions, seconds of training
and answering. Recipes run side by side while there are free `--workers`; what fails is reported and
stops nothing else. `--out` gets `results.jsonl`, `runs.tar.gz` (scores, reports, answers and
training notes without checkpoints) and the logs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cotdistill.evaluation.grid import grade
from cotdistill.recipe import parse_recipe
from cotdistill.records import Answer, Verdict
from cotdistill.runs.run import Run
from cotdistill.runs.store import Artifact
from cotdistill.util.files import read_records

PLAN = (
    ("fine_tune_cot", 6),
    ("gsm8k", 3),
    ("multiarith", 2),
    ("coin_flip", 1),
    ("socratic_svamp", 2),
    ("sci_cot", 3),
    ("strategy_qa", 3),
    ("granularity", 3),
    ("first_step", 1),
    ("adaptive", 2),
    ("addsub", 2),
)
"""Recipes in order of value, each with the number of its processes."""
REHEARSAL = {
    "limit": {"train": 4, "validation": 2, "test": 2, "ood": 2},
    "seeds": [0],
    "train": {"epochs": 1, "max_steps": 1, "batch_size": 2, "selection": "last"},
}


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
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--only", nargs="*", default=[name for name, _ in PLAN])
    parser.add_argument("--student", help="a checkpoint in place of the recipes' student")
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + arguments.seconds
    queue = [(name, count) for name, count in PLAN if name in arguments.only]
    queue = [(name, 1 if arguments.rehearse else count) for name, count in queue]
    queue = [one for one in queue if Path("recipes", f"{one[0]}.yaml").exists()]
    working = list[Job]()
    runs = list[Run]()
    with (arguments.out / "results.jsonl").open("a", encoding="utf-8") as results:
        while (queue or working) and time.monotonic() < deadline:
            free = arguments.workers - sum(job.workers for job in working)
            while queue and queue[0][1] <= free:
                name, workers = queue.pop(0)
                free -= workers
                if (job := _start(name, workers, arguments)) is not None:
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
    for name, _ in queue:
        print(f"{name}: not run, out of time", flush=True)
    _collect(runs, arguments.out / "runs.tar.gz")


def _start(name: str, workers: int, arguments: argparse.Namespace) -> Job | None:
    data = yaml.safe_load(Path("recipes", f"{name}.yaml").read_text("utf-8"))
    data["output"] = str(arguments.runs)
    data["executor"] = {"name": "pool:Pool", "workers": workers}
    if arguments.student:
        data["student"] = {"model": arguments.student, "label": "student"}
    if arguments.rehearse:
        data |= REHEARSAL
        for method in data["methods"]:
            method.pop("train", None)
    path = arguments.runs / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    log = (arguments.out / f"{name}.log").open("ab")
    command = [sys.executable, "-m", "cotdistill", "run", str(path)]
    try:
        run = Run(parse_recipe(data))
        waiting = [
            (cell, split, strategy, run.infer_artifact(cell, split, strategy))
            for cell, split, strategy in run.answered()
        ]
    except Exception as error:  # noqa: BLE001  one recipe that cannot be read stops no other
        print(f"{name}: {type(error).__name__}: {error}", flush=True)
        return None
    # A session of its own, so that its workers can be stopped with it.
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    return Job(name, workers, run, process, waiting)


def _report(job: Job, results: Any) -> None:
    for one in list(job.waiting):
        cell, split, strategy, artifact = one
        if artifact.metadata is None:
            continue
        job.waiting.remove(one)
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


def _collect(runs: list[Run], path: Path) -> None:
    kept = (".json", ".jsonl", ".md", ".yaml", ".html")
    with tarfile.open(path, "w:gz") as tar:
        for run in runs:
            for file in sorted(run.folder.rglob("*")):
                inside = file.relative_to(run.folder).parts
                # Rationales were made where this was packed; checkpoints stay behind.
                if file.suffix in kept and not {"generate", "curate", "checkpoint"} & set(inside):
                    tar.add(file, arcname=str(Path(run.folder.name, *inside)))


if __name__ == "__main__":
    main()

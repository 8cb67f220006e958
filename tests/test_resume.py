"""Kill -9 in every stage, run again: the same scores, nothing asked, trained or answered twice."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cotdistill.util.files import read_json

RECIPE = {
    "name": "run",
    "output": ".",
    "task": "word_problems",
    "teacher": "lab",
    "student": "lab",
    "methods": [{"name": "fine_tune_cot", "samples": 2}, "answer_only"],
    "engine": {"name": "transformers", "batch_size": 4},
    "limit": {"train": 16, "validation": 4, "test": 16},
    "max_concurrency": 8,
    "train": {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3},
}


WATCHED = """
import contextlib, json
import cotdistill
from cotdistill.util.progress import SilentProgress

class Watch(SilentProgress):
    steps = {}

    @contextlib.contextmanager
    def task(self, description, total):
        done = self.steps.setdefault(description, [])
        yield lambda count=1, note="": done.append([count, note.split(",")[0]])

cotdistill.run("recipe.yaml", progress=Watch())
with open("steps.json", "w") as file:
    json.dump(Watch.steps, file)
"""


def start(folder: Path, *program: str) -> subprocess.Popen[bytes]:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(program or ("-m", "cotdistill", "run", "recipe.yaml"))]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """Run the recipe to its end; returns what each piece of work did: counts with notes."""
    process = start(folder, "-c", WATCHED)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()
    steps: dict[str, list[tuple[int, str]]] = json.loads((folder / "steps.json").read_text())
    return steps


def completions(run: Path) -> int:
    if not (run / "completions.sqlite").exists():
        return 0
    database = sqlite3.connect(f"file:{run / 'completions.sqlite'}?mode=ro", uri=True)
    try:
        return int(database.execute("SELECT count(*) FROM completions").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        database.close()


def results(run: Path) -> dict[str, bytes]:
    names = ("scores.json", *(str(path.relative_to(run)) for path in run.rglob("answers.jsonl")))
    return {name: (run / name).read_bytes() for name in names}


def paths(run: Path) -> list[Path]:
    """Return every file and folder of a run that is being written, without what goes away."""
    return [
        Path(folder, name) for folder, folders, files in os.walk(run) for name in (*folders, *files)
    ]


def lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


KILL_WHEN: dict[str, Callable[[Path], bool]] = {
    "generate": lambda run: completions(run) >= 10,
    "curate": lambda run: any(path.match("generate/done.json") for path in paths(run)),
    # Its last file is there: the checkpoint is whole.
    "train": lambda run: any(path.match("checkpoint-*/trainer_state.json") for path in paths(run)),
    "infer": lambda run: any(
        lines(path) >= 5 for path in paths(run) if path.name == "answers.jsonl.log"
    ),
    "evaluate": lambda run: sum(path.match("infer/*/done.json") for path in paths(run)) == 2,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder)
    return folder / "run"


@pytest.mark.parametrize("stage", KILL_WHEN)
def test_kill_and_run_again(stage: str, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(tmp_path)
    deadline = time.monotonic() + 240
    try:
        while not KILL_WHEN[stage](run) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    trained = [path.parent for path in run.rglob("train/*/done.json")]
    saved = [int(path.name.split("-")[1]) for path in run.rglob("checkpoint-*")]
    logs = [lines(path) for path in run.rglob("answers.jsonl.log")]
    answered = list(run.rglob("infer/*/done.json"))
    steps = finish(tmp_path)
    assert results(run) == results(undisturbed)
    did = {
        stage: {what: done for what, done in steps.items() if what.startswith(stage)}
        for stage in ("train", "infer")
    }
    assert len(did["train"]) == 2 - len(trained)
    assert len(did["infer"]) == 2 - len(answered)
    if stage == "train":  # goes on from the step that was saved, and makes no step of before again
        first, *rest = next(iter(did["train"].values()))
        training = read_json(next(run.rglob("fine_tune_cot*/**/training.json")))
        assert first == [max(saved), "resumed"] and max(saved) > 0
        assert sum(count for count, _ in rest) == training["steps"] - max(saved)
    if stage == "infer":  # answers that were written are read back, the rest is asked
        (before,) = logs
        first, *rest = next(iter(did["infer"].values()))
        assert first[0] == before and sum(count for count, _ in rest) == 16 - before
    spent = read_json(run / "ledger.json")["roles"]["teacher"]
    assert spent["completions"] == completions(run) == completions(undisturbed)


def test_interrupt_says_how_to_go_on(undisturbed: Path, tmp_path: Path) -> None:
    process = start(tmp_path)
    while completions(tmp_path / "run") < 5 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.decode().strip().splitlines() == [
        "stopped; what was finished is kept: the same command goes on from here"
    ]
    finish(tmp_path)
    assert results(tmp_path / "run") == results(undisturbed)


def test_second_call_does_nothing(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("done.json")}
    finish(undisturbed.parent)
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("done.json")} == before

"""Ctrl-C, then kill -9 in every stage of one run: the same scores in the end, and nothing asked,
trained or answered twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import cotdistill
from cotdistill.util.files import read_json
from cotdistill.util.progress import Advance, SilentProgress
from tests import forked

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

Steps = list[tuple[int, str]]


class Watch(SilentProgress):
    """Writes down at once what each piece of work did: counts with notes."""

    @contextlib.contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Advance]:
        with Path("steps.jsonl").open("a", buffering=1) as file:
            file.write(json.dumps([description, []]) + "\n")

            def advance(count: int = 1, note: str = "") -> None:
                file.write(json.dumps([description, [[count, note.split(",")[0]]]]) + "\n")

            yield advance


def run_recipe() -> None:
    cotdistill.run("recipe.yaml", progress=Watch())


def finish(folder: Path) -> dict[str, list[Steps]]:
    """Run the recipe to its end; returns what each training and inference did."""
    prepare(folder)
    with contextlib.chdir(folder):
        forked.call(run_recipe)
    return did(folder)


def kill(folder: Path, stage: str) -> dict[str, list[Steps]]:
    """Run the recipe and kill it in a stage; returns what each training and inference did."""
    prepare(folder)
    with contextlib.chdir(folder):
        process = forked.start(run_recipe)
    wait(lambda: KILL_WHEN[stage](folder / "run") or not process.is_alive())
    process.kill()
    process.join()
    return did(folder)


def prepare(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    (folder / "steps.jsonl").write_text("")


def did(folder: Path) -> dict[str, list[Steps]]:
    """Return what each training and each inference of the last process did."""
    found: dict[str, Steps] = {}
    for line in (folder / "steps.jsonl").read_text().splitlines():
        description, steps = json.loads(line)
        found.setdefault(description, []).extend((count, note) for count, note in steps)
    return {
        stage: [steps for description, steps in found.items() if description.startswith(stage)]
        for stage in ("train", "infer")
    }


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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


def interrupt(folder: Path) -> None:
    """Press Ctrl-C in the first stage: one line says how to go on."""
    prepare(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "cotdistill", "run", "recipe.yaml"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    wait(lambda: completions(folder / "run") >= 5 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.decode().strip().splitlines() == [
        "stopped; what was finished is kept: the same command goes on from here"
    ]


def test_stopped_in_every_stage_and_run_again(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupt(tmp_path)
    for stage in ("generate", "curate", "train"):
        kill(tmp_path, stage)
    trained = list(run.rglob("train/*/done.json"))
    saved = max(int(path.name.split("-")[1]) for path in run.rglob("checkpoint-*"))

    # It goes on from the step that was saved, and makes no step of before again.
    done = kill(tmp_path, "infer")
    assert len(done["train"]) == 2 - len(trained)
    (first, *rest), training = done["train"][0], next(run.rglob("fine_tune_cot*/**/training.json"))
    assert first == (saved, "resumed") and saved > 0
    assert sum(count for count, _ in rest) == read_json(training)["steps"] - saved
    answered = list(run.rglob("infer/*/done.json"))
    (before,) = (lines(path) for path in run.rglob("answers.jsonl.log"))

    # Answers that were written are read back, the rest is asked.
    done = kill(tmp_path, "evaluate")
    assert done["train"] == []
    assert len(done["infer"]) == 2 - len(answered)
    first, *rest = done["infer"][0]
    assert first[0] == before and sum(count for count, _ in rest) == 16 - before

    assert finish(tmp_path) == {"train": [], "infer": []}
    assert results(run) == results(undisturbed)
    spent = read_json(run / "ledger.json")["roles"]["teacher"]
    assert spent["completions"] == completions(run) == completions(undisturbed)


def test_second_call_does_nothing(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("done.json")}
    assert finish(undisturbed.parent) == {"train": [], "infer": []}
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("done.json")} == before

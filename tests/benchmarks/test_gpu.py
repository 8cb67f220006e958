"""The GPU script on a CPU: pieces fit together; a failure or the end of the time loses nothing."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import signal
import subprocess
import tarfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cotdistill.recipe import load_recipe
from cotdistill.testing.tiny import tiny_checkpoint

GPU = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script as the GPU machine does: its folder is on the path of every process."""
    monkeypatch.syspath_prepend(str(GPU))
    monkeypatch.setenv("PYTHONPATH", str(GPU), prepend=":")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_every_planned_recipe_is_there_and_in_its_own_folder(module: Any) -> None:
    plan = module("plan").PLAN
    done = set[tuple[Any, ...]]()
    for item in plan:
        recipe = load_recipe(GPU.parents[1] / "recipes/real" / item.file, item.overrides)
        assert set(item.tasks) <= {task.label for task in recipe.tasks}
        for place in itertools.product([recipe.name], item.tasks or [""], item.seeds):
            assert place not in done
            done.add(place)
    assert len({name for name, *_ in done}) > 15


def test_pieces_are_put_together_again(module: Any, tmp_path: Path) -> None:
    student, base = tmp_path / "student.gguf", tmp_path / "base.tar.xz"
    student.write_bytes(bytes(range(256)) * 40)
    base.write_bytes(b"x" * 1000)
    pieces = module("pack")._pieces(base, student, 4000)
    assert (pieces[0] / "part-01").stat().st_size == 3000
    assert (pieces[0] / "base.tar.xz").stat().st_size == 1000
    parts = [(piece / f"part-{number:02d}") for number, piece in enumerate(pieces, 1)]
    whole = b"".join(part.read_bytes() for part in parts)
    digest = (pieces[-1] / "student.sha256").read_text().split()
    assert digest == [hashlib.sha256(whole).hexdigest(), "student.gguf"]
    assert {(piece / "parts.txt").read_text().strip() for piece in pieces} == {str(len(pieces))}
    subprocess.run(["bash", "-n", str(pieces[0] / "unpack.sh")], check=True)


def test_a_cell_that_fails_is_reported_and_the_rest_is_done(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, run = module("plan"), module("run")
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"{n} + 1?", "answer": "7"} for n in range(30)]
    Path("questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "custom", "path": "questions.jsonl", "answer": "number"}
    recipe: dict[str, Any] = {
        "name": "cells",
        "tasks": [{**task, "label": "sums"}, {**task, "label": "other", "seed": 1}],
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": {"model": str(tiny_checkpoint(tmp_path / "base", "gpt2")), "label": "tiny"},
        "methods": [
            {"name": "zero_shot", "role": "teacher", "label": "teacher"},
            {"name": "answer_only", "label": "bad", "train": {"max_prompt_tokens": 1}},
            {"name": "answer_only", "label": "good"},
        ],
        "seeds": [0, 1],
        "train": {"epochs": 1, "batch_size": 2, "selection": "last"},
    }
    Path("recipes").mkdir()
    Path("recipes/cells.yaml").write_text(json.dumps(recipe))
    items = tuple(plan.Item("cells", ("sums",), (seed,)) for seed in (0, 1))
    monkeypatch.setattr(run, "PLAN", items)
    arguments = ["run.py", "--out", "out", "--runs", "runs", "--seconds", "300", "--rehearse"]
    monkeypatch.setattr("sys.argv", arguments)
    run.main()
    told = capsys.readouterr().out
    assert told.count("FAILED") == 2
    assert "max_prompt_tokens" in told
    found = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()]
    made = [(row["task"], row["method"], row["seed"], row["n"]) for row in found]
    assert made == [("sums", "teacher", 0, 2), ("sums", "good", 0, 2), ("sums", "good", 1, 2)]
    weights = list(Path("runs").glob("cells/sums/good/**/*.safetensors"))
    assert len(weights) == 2
    assert not any(path.stat().st_blocks for path in weights)  # asked, and its room given back
    with tarfile.open("out/runs.tar.gz") as tar:
        assert any(name.endswith("answers.jsonl") for name in tar.getnames())
    assert not Path("runs/cells/scores.json").exists()  # no task has all its methods
    whole = load_recipe(Path("recipes/cells.yaml"), [*run.REHEARSAL, "output=runs"])
    run._evaluate(whole.model_copy(update={"methods": whole.methods[::2]}))
    rows = json.loads(Path("runs/cells/scores.json").read_text())["rows"]
    assert {(row["task"], len(row["seeds"])) for row in rows} == {("sums", 1), ("sums", 2)}


def test_what_was_done_when_the_time_is_over_is_kept(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = module("run")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(run, "_planned", lambda *_: [(None, SimpleNamespace(name="endless"))])
    monkeypatch.setattr(run, "run_item", lambda *_: signal.pause())
    evaluated = list[Any]()
    monkeypatch.setattr(run, "_evaluate", evaluated.append)
    arguments = ["run.py", "--out", "out", "--runs", "runs", "--seconds", "0.2"]
    monkeypatch.setattr("sys.argv", arguments)
    run.main()
    assert "out of time" in capsys.readouterr().out
    assert [recipe.name for recipe in evaluated] == ["endless"]
    assert Path("out/runs.tar.gz").is_file()

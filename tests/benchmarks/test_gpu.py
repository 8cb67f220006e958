"""The GPU script on a CPU: pieces fit together, failures stop nothing, room is given back."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cotdistill.pipeline import run_recipe
from cotdistill.recipe import load_recipe, parse_recipe
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json

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
    recipes = [load_recipe(GPU.parents[1] / "recipes/real" / i.file, i.overrides) for i in plan]
    assert len({recipe.name for recipe in recipes}) == len(recipes) > 15


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


def test_a_pool_reports_what_fails_and_does_the_rest(
    module: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    module("pool")
    rows = [{"question": f"{n} + 1?", "answer": "7"} for n in range(30)]
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe: dict[str, Any] = {
        "name": "pool",
        "output": str(tmp_path),
        "task": {"name": "custom", "path": str(data), "answer": "number", "label": "sums"},
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": {"model": str(tiny_checkpoint(tmp_path / "base", "gpt2")), "label": "tiny"},
        "methods": [
            {"name": "answer_only", "label": "good"},
            {"name": "answer_only", "label": "bad", "train": {"max_prompt_tokens": 1}},
        ],
        "limit": {"train": 4, "validation": 2, "test": 3},
        "train": {"epochs": 1, "batch_size": 2, "selection": "last"},
        "executor": {"name": "pool:Pool", "workers": 2},
    }
    stages = ["generate", "curate", "train", "infer"]
    folder = run_recipe(parse_recipe(recipe), stages=stages).folder
    assert "FAILED train sums/bad" in capfd.readouterr().err
    assert not list(folder.glob("sums/bad/**/infer/*/done.json"))
    (done,) = folder.glob("sums/good/**/infer/*/done.json")
    assert read_json(done)["metadata"]["questions"] == 3


def test_room_of_an_answered_checkpoint_is_given_back(module: Any, tmp_path: Path) -> None:
    weights = tmp_path / "checkpoint" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"1" * 100_000)
    module("run")._free(tmp_path)
    assert weights.stat().st_size == 100_000
    assert weights.stat().st_blocks * 512 < 100_000

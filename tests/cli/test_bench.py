"""`cotdistill bench` on this machine and a tiny student."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.contracts import TrainSettings
from cotdistill.runs.speed import StudentSpeed
from cotdistill.testing.tiny import tiny_checkpoint


def test_machine_and_student_are_measured(tmp_path: Path) -> None:
    rows = [{"question": f"How much is {n} + 1?", "answer": str(n + 1)} for n in range(20)]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    recipe = {
        "name": "tiny",
        "output": str(tmp_path / "runs"),
        "task": {"name": "custom", "path": str(path), "answer": "number"},
        "teacher": "scripted",
        "student": {"model": str(tiny_checkpoint(tmp_path / "base", "llama"))},
        "methods": ["answer_only", "zero_shot_cot"],
        "train": {"batch_size": 4, "epochs": 2, "learning_rate": 1e-3},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    shown = CliRunner().invoke(app, ["bench", str(tmp_path / "recipe.yaml")])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"GFLOP/s float32, .* GFLOP/s bfloat16; memory [\d.]+ GB/s", shown.output)
    (line,) = [line for line in shown.output.splitlines() if " a step of 4 examples" in line]
    shares = [int(share) for share in re.findall(r"\((\d+)% of possible\)", line)]
    assert len(shares) == 2 and all(0 <= share <= 100 for share in shares)
    assert "of all cells:" in shown.output
    assert not (tmp_path / "runs").exists()


def test_the_time_of_a_recipe_follows_from_its_steps() -> None:
    speed = StudentSpeed(2.0, 8, 100.0, 50.0, 25.0, None, None)
    settings = TrainSettings(batch_size=8, epochs=3)
    assert speed.training_seconds(80, settings) == pytest.approx(2.0 * 10 * 3)
    assert speed.answer_seconds(10) == pytest.approx(20.0)

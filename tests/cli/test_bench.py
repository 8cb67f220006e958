"""`cotdistill bench` on this machine and a tiny student."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from typer.testing import CliRunner

from cotdistill.cli.app import app
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
    (line,) = [line for line in shown.output.splitlines() if "tokens/s learnt from" in line]
    shares = [int(share) for share in re.findall(r"\((\d+)% of possible\)", line)]
    assert len(shares) == 2 and all(0 <= share <= 100 for share in shares)
    for stage in ("train", "infer"):
        assert re.search(rf"^{stage}, all that is not done: \d", shown.output, re.MULTILINE)
    assert not (tmp_path / "runs").exists()

"""`cotdistill tokens` on a tiny run."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.testing.tiny import tiny_checkpoint


def recipe(folder: Path) -> Path:
    rows = [{"question": f"How much is {n} + 1?", "answer": str(n + 1)} for n in range(20)]
    (folder / "questions.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), "utf-8"
    )
    data = {
        "name": "tiny",
        "output": str(folder / "runs"),
        "task": {"name": "custom", "path": str(folder / "questions.jsonl"), "answer": "number"},
        "teacher": "scripted",
        "student": {"model": str(tiny_checkpoint(folder / "base", "gpt2"))},
        "methods": ["answer_only"],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(data), "utf-8")
    return path


def test_tokens_are_shown_once_rationales_are_curated(tmp_path: Path) -> None:
    path = str(recipe(tmp_path))
    runner = CliRunner()
    early = runner.invoke(app, ["tokens", path])
    assert early.exit_code != 0
    assert "curate" in str(early.exception)
    for stage in ("generate", "curate"):
        assert runner.invoke(app, [stage, path]).exit_code == 0
    shown = runner.invoke(app, ["tokens", path, "--count", "1"])
    assert shown.exit_code == 0, shown.output
    assert "answer_only" in shown.output
    assert "read" in shown.output
    assert "tokens read" in shown.output

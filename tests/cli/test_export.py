"""`cotdistill export`: training sets and Inspect logs of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.errors import UserError
from cotdistill.util.files import read_jsonl


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def recipe(folder: Path, **entries: Any) -> str:
    rows = [{"question": f"What is {n} plus 1?", "answer": n + 1} for n in range(10)]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = {
        "name": "small",
        "output": str(folder / "runs"),
        "task": {"name": "custom", "path": str(folder / "q.jsonl"), "answer": "number"},
        "teacher": {"name": "scripted", "replies": " The answer is 3."},
        **entries,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "recipe.yaml")


def test_one_inspect_log_for_each_model(tmp_path: Path) -> None:
    path = recipe(tmp_path, methods=[{"name": "zero_shot_cot", "role": "teacher"}])
    with pytest.raises(UserError, match="run the stage infer first"):
        invoke("export", "inspect", path)
    invoke("run", path)
    told = invoke("export", "inspect", path, "--out", str(tmp_path / "logs"))
    assert "wrote 1 logs" in told and "inspect view --log-dir" in told
    (log_path,) = (tmp_path / "logs").glob("*_custom-answer-number_*.json")
    log = json.loads(log_path.read_text())
    assert log["eval"]["task_args"]["method"] == "zero_shot_cot role=teacher"
    assert len(log["samples"]) == log["results"]["total_samples"] == 2


def test_curated_rationales_as_a_training_set(tmp_path: Path) -> None:
    # One of ten answers is 3: the others' rationales are dropped.
    path = recipe(tmp_path, methods=["fine_tune_cot", {"name": "step_by_step", "shots": 0}])
    with pytest.raises(UserError, match="run the stage curate first"):
        invoke("export", "sft", path)
    for stage in ("generate", "curate"):
        invoke(stage, path)
    run = tmp_path / "runs" / "small"
    told = invoke("export", "sft", str(run), "--format", "prompt-completion", "--license", "mit")
    assert told.count("wrote 1 for student to ") == told.count("fine_tune_cot") == 1
    (folder,) = (run / "sft").rglob("fine_tune_cot")
    (row,) = read_jsonl(folder / "student.jsonl")
    assert row == {"prompt": "What is 2 plus 1?\n", "completion": "The answer is 3. --> 3"}
    card = (folder / "README.md").read_text()
    assert "license: mit" in card
    assert "**Teacher:** `scripted`" in card
    assert "**Filters:** `answer_match" in card
    assert "× `answer_match: " in card
    assert "**Rationales:** `1 kept of " in card
    assert "**Test questions in the training split:** `the same question 0/2; " in card
    assert "wrote 2 for student" in told

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.errors import StoreError


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    rows = [{"question": f"What is {n} plus 1?", "answer": n + 1} for n in range(10)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = {
        "name": "small",
        "output": str(tmp_path / "runs"),
        "task": {"name": "custom", "path": str(tmp_path / "q.jsonl"), "answer": "number"},
        "teacher": {"name": "scripted", "replies": " The answer is 3."},
        "methods": [{"name": "zero_shot_cot", "role": "teacher"}],
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    return str(tmp_path / "recipe.yaml")


def test_one_log_for_each_model(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run the stages up to `evaluate` first"):
        invoke("export", recipe)
    invoke("run", recipe)
    told = invoke("export", recipe, "--out", str(tmp_path / "logs"))
    assert "wrote 1 logs" in told and "inspect view --log-dir" in told
    (path,) = (tmp_path / "logs").glob("*_custom-answer-number_*.json")
    log = json.loads(path.read_text())
    assert log["eval"]["task_args"]["method"] == "zero_shot_cot role=teacher"
    assert len(log["samples"]) == log["results"]["total_samples"] == 2

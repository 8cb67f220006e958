"""The command: a table that fits, JSON for scripts, other sizes, bad sizes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.cli.estimate import duration, size
from cotdistill.errors import UserError

ROWS = [{"question": f"What is {n} plus 1?", "answer": str(n + 1)} for n in range(40)]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = str(tmp_path / "questions.jsonl")
    recipe = {
        "output": str(tmp_path),
        "task": {"name": "custom", "path": path, "answer": "number", "label": "sums"},
        "teacher": {"name": "scripted", "replies": " One more. The answer is 7."},
        "methods": [{"name": "fine_tune_cot", "answer_call": False, "label": "cot"}],
        "train": {"epochs": 1},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path / "recipe.yaml"


def test_json_has_totals_sources_and_other_sizes_and_a_probe_is_kept(recipe: Path) -> None:
    result = CliRunner().invoke(
        app, ["estimate", str(recipe), "--json", "--probe", "5", "--at", "28,1e6"]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["total"]["completions"] == 28 - 5
    assert (
        told["at"]["28"]["completions"] == 28 and round(told["at"]["1e+06"]["completions"]) == 10**6
    )
    assert any("mean of 5 replies" in line for line in told["sources"])
    result = CliRunner().invoke(app, ["estimate", str(recipe), "--at", "1e9"])
    assert "23 completions to ask" in result.output and "5 are in the log" in result.output
    assert "1,000,000,000" in result.output


def test_bad_sizes(recipe: Path) -> None:
    for text in ("many", "0", "1e99", "nan"):
        with pytest.raises(UserError, match="--at"):
            CliRunner().invoke(app, ["estimate", str(recipe), "--at", text], catch_exceptions=False)


def test_units() -> None:
    assert [duration(one) for one in (5, 300, 7200)] == ["5 s", "5 min", "2.0 h"]
    assert [size(one) for one in (900, 2.5e6, 3e9, 4e12)] == ["1 kB", "2.5 MB", "3.0 GB", "4.0 TB"]

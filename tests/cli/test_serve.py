"""`cotdistill ask` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.errors import UserError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.testing.tiny import tiny_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("asked")
    recipe = {
        "name": "r",
        "output": str(place),
        "task": "word_problems",
        "teacher": {"name": "scripted", "replies": " So it is.\x1b[31m The answer is 7."},
        "student": {"model": str(tiny_checkpoint(place / "base", "llama")), "label": "tiny"},
        "methods": [{"name": "answer_only", "student_max_tokens": 4, "label": "own"}, "zero_shot"],
        "limit": {"train": 4, "validation": 2, "test": 2},
        "train": {"epochs": 1},
    }
    return run_recipe(parse_recipe(recipe)).folder


def test_one_answer_with_its_reasoning(folder: Path) -> None:
    asked = CliRunner().invoke(app, ["ask", str(folder), "-", "--json"], input="What is 3 + 8?\n")
    told = json.loads(asked.stdout)
    assert asked.exit_code == 0 and told["system"]["method"] == "own"
    assert told["reasoning"] and 0 < told["completion_tokens"] <= 4 and told["prompt_tokens"] > 5
    named = ["ask", str(folder), "What is 3 + 8?", "--method", "zero_shot"]
    shown = CliRunner().invoke(app, named)
    assert shown.stdout == "The answer is So it is.\\x1b[31m The answer is 7.\n\nanswer: 7\n"


def test_an_empty_question_and_a_missing_run_are_one_line(folder: Path, tmp_path: Path) -> None:
    assert "the question is empty" in str(
        CliRunner().invoke(app, ["ask", str(folder), " "]).exception
    )
    missing = CliRunner().invoke(app, ["ask", str(tmp_path), "1 + 1?"])
    assert isinstance(missing.exception, UserError) and "no run folder" in str(missing.exception)

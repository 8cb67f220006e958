"""`cotdistill ask`, `serve` and `escalate` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

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
    assert isinstance(missing.exception, UserError) and "recipe.yaml" in str(missing.exception)


def test_a_server_answers_and_ends_well(folder: Path) -> None:
    program = [sys.executable, "-m", "cotdistill", "serve", str(folder), "--port", "0"]
    environment = {**os.environ, "OWN_KEY": "k"}
    with subprocess.Popen(
        [*program, "--api-key-env", "OWN_KEY"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        body = {"model": "r", "messages": [{"role": "user", "content": "What is 3 + 8?"}]}
        request = urllib.request.Request(
            f"{line.split()[0]}/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": "Bearer k"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            told = json.load(response)
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=60)
    assert told["choices"][0]["message"]["reasoning_content"] and told["usage"]["total_tokens"] > 5
    assert server.returncode == 0 and "'own' with 'greedy'" in said and "Traceback" not in said


def test_escalation_is_measured_and_asked_for(folder: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, [arguments[0], str(folder), *arguments[1:]])

    early = run("ask", "1 + 1?", "--escalate", "teacher", "--below", "1")
    assert "run `cotdistill escalate` first" in str(early.exception)
    shown = run("escalate", "--below", "1.0")
    assert "| teacher below |" in shown.stdout and "100.0 % of the questions" in shown.stdout
    told = run("ask", "1 + 1?", "--json", "--escalate", "teacher", "--below", "1")
    assert json.loads(told.stdout)["reasoning"].endswith("The answer is 7.")
    for wrong in (["--below", "0.5"], ["--escalate", "teacher"], ["--escalate", "ana"]):
        assert isinstance(run("ask", "1 + 1?", *wrong).exception, UserError)
    assert "not set or empty" in str(run("serve", "--api-key-env", "NO_KEY").exception)

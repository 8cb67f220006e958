"""The command line: lists, and one clear line with a non-zero exit for every kind of bad input."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml

from cotdistill.__main__ import main

ROWS = [{"question": f"What is {n} plus 1?", "answer": str(n + 1)} for n in range(20)]


def own_process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cotdistill", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def cotdistill(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command here: a process of its own would import torch for every test."""
    out, errors, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["cotdistill", *arguments])
        patch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
        for key in [key for key in os.environ if key.endswith("_API_KEY")]:
            patch.delenv(key)
        try:
            main()
        except SystemExit as stop:
            status = stop.code
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), errors.getvalue())


def write_recipe(folder: Path, **changes: object) -> None:
    recipe = {
        "task": {"name": "custom", "path": "questions.jsonl", "answer": "number"},
        "teacher": {"name": "scripted", "replies": ["One more."]},
        "methods": ["answer_only", "fine_tune_cot"],
        **changes,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    write_recipe(tmp_path)
    return tmp_path


def failed_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode != 0
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_a_missing_student_is_noticed_before_the_teacher_is_asked(folder: Path) -> None:
    write_recipe(folder, student="./no-such-folder")
    line = failed_line(cotdistill("run", "recipe.yaml", cwd=folder))
    assert "recipe.yaml: student no-such-folder: model: ./no-such-folder does not exist" in line
    assert not (folder / "runs").exists()


def test_list_names_every_kind(tmp_path: Path) -> None:
    result = own_process("list", cwd=tmp_path)
    assert result.returncode == 0
    for name in (
        "word_problems",
        "fine_tune_cot",
        "openai",
        "answer_match",
        "greedy",
        "transformers",
    ):
        assert f"  {name} " in result.stdout
    assert "teachers" in failed_line(cotdistill("list", "nothing", cwd=tmp_path))


def test_malformed_line(folder: Path) -> None:
    with (folder / "questions.jsonl").open("a") as file:
        file.write('{"question": "torn\n')
    line = failed_line(cotdistill("run", "recipe.yaml", cwd=folder))
    assert "questions.jsonl:21" in line


def test_missing_column(folder: Path) -> None:
    columns = {"question": "question", "answer": "gold"}
    write_recipe(
        folder,
        task={"name": "custom", "path": "questions.jsonl", "answer": "number", "columns": columns},
    )
    line = failed_line(cotdistill("run", "recipe.yaml", cwd=folder))
    assert "questions.jsonl:1" in line
    assert "gold" in line


def test_unknown_recipe_key(folder: Path) -> None:
    write_recipe(folder, studnet="lab")
    line = failed_line(cotdistill("run", "recipe.yaml", cwd=folder))
    assert "recipe.yaml: unknown key 'studnet'; did you mean 'student'?" in line


def test_empty_split(folder: Path) -> None:
    (folder / "questions.jsonl").write_text("")
    line = failed_line(cotdistill("run", "recipe.yaml", cwd=folder))
    assert "questions.jsonl" in line
    assert "empty" in line or "no question" in line


def test_a_link_where_the_log_of_requests_should_be_is_one_line(folder: Path) -> None:
    (folder / "victim").write_text("mine")
    (folder / "runs" / "recipe").mkdir(parents=True)
    (folder / "runs" / "recipe" / "log.jsonl").symlink_to(folder / "victim")
    line = failed_line(own_process("generate", "recipe.yaml", "--verbose", cwd=folder))
    assert "log.jsonl" in line
    assert (folder / "victim").read_text() == "mine"


def test_missing_key(folder: Path) -> None:
    write_recipe(folder, teacher={"name": "openai", "model": "m"})
    line = failed_line(cotdistill("run", "recipe.yaml", cwd=folder))
    assert "OPENAI_API_KEY" in line


def test_dead_endpoint(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    teacher = {
        "name": "openai",
        "model": "m",
        "base_url": "http://127.0.0.1:9/v1",
        "connect_patience_s": 0.5,
    }
    write_recipe(folder, teacher=teacher)
    line = failed_line(cotdistill("run", "recipe.yaml", cwd=folder))
    assert line.startswith("error: http://127.0.0.1:9/v1: not reachable")
    (waiting,) = caplog.messages
    assert "waiting for it" in waiting


def test_missing_file(tmp_path: Path) -> None:
    line = failed_line(own_process("run", "none.yaml", cwd=tmp_path))
    assert "none.yaml" in line
    assert "cotdistill init" in line


def test_init_writes_a_recipe_that_parses(folder: Path) -> None:
    (folder / "mine.csv").write_text("problem,label\nHow many?,3\n")
    result = cotdistill("init", "mine.csv", "--out", "mine.yaml", cwd=folder)
    assert result.returncode == 0, result.stderr
    text = (folder / "mine.yaml").read_text()
    assert "question: problem" in text
    assert "answer: label" in text
    again = failed_line(cotdistill("init", "mine.csv", "--out", "mine.yaml", cwd=folder))
    assert "mine.yaml exists" in again
    from cotdistill.recipe import load_recipe

    assert len(load_recipe(folder / "mine.yaml").methods) == 4

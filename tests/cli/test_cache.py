"""`cotdistill cache`: list, export, import, prune."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cotdistill.cli import cache
from cotdistill.errors import CotdistillError
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog, request_key
from cotdistill.teachers.scripted import Scripted

app = typer.Typer()
cache.register(app)
app.command()(lambda: None)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["cache", *map(str, arguments)])
    if isinstance(result.exception, CotdistillError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def fill(folder: Path, revision: str = "", count: int = 3) -> None:
    async def main() -> None:
        with CompletionLog(folder / "completions.sqlite") as log:
            async with ModelClient({"teacher": Scripted(revision=revision).open()}, log) as ask:
                for number in range(count):
                    await ask(f"Q: ä {number}", samples=2)

    asyncio.run(main())


def test_list(tmp_path: Path) -> None:
    fill(tmp_path)
    fill(tmp_path, "two", 1)
    output = run("list", tmp_path)
    assert "1. replies=The answer is 1., teacher=scripted" in output
    assert "3 requests, 6 completions, 18 prompt and 24 completion tokens" in output
    assert "2. replies=The answer is 1., revision=two" in output


def test_export_and_import_carry_everything_over(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    second.mkdir()
    fill(first)
    assert "6 completions exported" in run("export", first, "-o", tmp_path / "log.jsonl")
    assert "6 completions read" in run("import", second, tmp_path / "log.jsonl")
    assert "6 completions read" in run("import", second, tmp_path / "log.jsonl")
    lines = [
        json.loads(line)
        for line in run("export", second / "completions.sqlite").splitlines()
        if line[0] == "{"
    ]
    assert len(lines) == 6
    assert lines[0]["request"]["prompt"] == "Q: ä 0"
    fill(second)
    assert "3 requests, 6 completions" in run("list", second)


def test_prune(tmp_path: Path) -> None:
    fill(tmp_path)
    fill(tmp_path, "two", 1)
    assert "0 completions deleted" in run("prune", tmp_path, "--older-than-days", 1)
    assert "6 completions deleted" in run("prune", tmp_path, "--model", 1)
    assert "1 requests, 2 completions" in run("list", tmp_path)
    assert "2 completions deleted" in run("prune", tmp_path, "--older-than-days", 0)
    assert "the log is empty" in run("list", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "nowhere.sqlite"), "there is no file nowhere.sqlite"),
        (("prune", "{folder}"), "say what to delete"),
        (("prune", "{folder}", "--model", "9"), "there is no model 9"),
        (("prune", "nowhere", "--model", "1"), "there is no completion log nowhere"),
        (("import", "{folder}", "nowhere.jsonl"), "there is no file nowhere.jsonl"),
        (("import", "{folder}", "{folder}/torn.jsonl"), "torn.jsonl:1: no line of an exported log"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    fill(tmp_path)
    (tmp_path / "torn.jsonl").write_text('{"key": ')
    with pytest.raises(CotdistillError, match=message) as caught:
        run(*(argument.format(folder=tmp_path) for argument in arguments))
    assert "\n" not in str(caught.value)


LINE = {
    "key": request_key("{}", "{}"),
    "identity": {},
    "request": {},
    "completion": {"text": "yes"},
}


@pytest.mark.parametrize(
    "line",
    [
        7,
        ["key"],
        {"question": "a", "answer": 1},
        LINE | {"completion": "a recording's text"},
        LINE | {"completion": {"text": 7}},
        LINE | {"completion": {"words": "yes"}},
        LINE | {"completion": {"text": "a", "sample_index": "a"}},
        LINE | {"completion": {"text": "a", "sample_index": -5}},
        LINE | {"completion": {"text": "a", "prompt_tokens": 1e400}},
        LINE | {"identity": {"model": "another"}},
        LINE | {"key": 7},
        LINE | {"key": "no hash"},
        LINE | {"identity": "gpt"},
    ],
)
def test_a_file_that_is_no_log_is_refused_in_one_line(tmp_path: Path, line: object) -> None:
    fill(tmp_path)
    (tmp_path / "other.jsonl").write_text(f"{json.dumps(LINE)}\n{json.dumps(line)}\n")
    with pytest.raises(
        CotdistillError, match=r"other\.jsonl:2: no line of an exported log; name a file that"
    ) as caught:
        run("import", tmp_path, tmp_path / "other.jsonl")
    assert "\n" not in str(caught.value)
    assert "3 requests, 6 completions" in run("list", tmp_path)

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.errors import DataError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["score", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.fixture
def completions(tmp_path: Path) -> str:
    path = tmp_path / "c.jsonl"
    rows = [
        {"question": "?", "completion": "x", "answer_completion": " 5*5=25.", "gold": "25"},
        {"question": "?", "completion": "x", "answer_completion": " 7.", "gold": "7.0"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_prints_counts_and_accuracy(completions: str) -> None:
    result = json.loads(run(completions, "--task", "multiarith", "--json"))
    assert (result["n"], result["correct"], result["accuracy"], result["no_answer"]) == (
        2,
        2,
        1.0,
        0,
    )
    assert "accuracy 50.00 % [9.45, 90.55]" in run(
        completions, "--task", "multiarith", "--compat", "kojima2022"
    )


def test_shows_differences(completions: str) -> None:
    shown = run(completions, "--task", "multiarith", "--show", "differences")
    assert "1 of 2 items are read differently" in shown and "0: 25 | '5' | 25 | 5*5=25." in shown
    as_json = json.loads(
        run(
            completions,
            "--task",
            "multiarith",
            "--show",
            "differences",
            "--compat",
            "ho2023",
            "--json",
        )
    )
    assert [item["index"] for item in as_json["differences"]] == [0, 1]


def test_every_item_is_written(completions: str, tmp_path: Path) -> None:
    run(
        completions,
        "--task",
        "multiarith",
        "--compat",
        "kojima2022",
        "--out",
        str(tmp_path / "items.jsonl"),
    )
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [item["kojima2022"] for item in items] == [
        {"prediction": "5", "verdict": "wrong"},
        {"prediction": "7", "verdict": "correct"},
    ]


def test_columns_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("question,output,gold\nWhich?,The answer is 3.,3\n")
    assert "100.00 %" in run(str(path), "--task", "number", "--column", "completion=output")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compat", "kojima"], "--compat kojima: there are kojima2022 and ho2023"),
        (["--show", "all"], "there is `differences`"),
        (["--column", "completion"], "write field=column"),
        (["--compat", "ho2023", "--template", "zs-cot"], "one of zs, zs_cot"),
    ],
)
def test_wrong_options_are_one_clear_line(
    completions: str, arguments: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run(completions, "--task", "number", *arguments)

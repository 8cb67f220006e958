"""Two runs beside each other: paired on the same questions, refused on another gold answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.evaluation.statistics import compare, holm
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.reporting.comparing import chapter, compare_runs, telling_apart, to_json
from cotdistill.runs.run import Run


def made(folder: Path, name: str, rows: list[tuple[str, str]], says: str, **more: Any) -> Run:
    """A run of two prompted teachers: one says the same to every question, the other "5"."""
    path = folder / f"{name}.jsonl"
    asked = [{"question": text, "answer": answer, "split": "test"} for text, answer in rows]
    asked += [{"question": f"train {n}", "answer": "7", "split": "train"} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in asked))
    files = {}
    for split in ("train", "test"):
        files[split] = str(folder / f"{name}-{split}.jsonl")
        lines = [json.dumps(row) + "\n" for row in asked if row["split"] == split]
        Path(files[split]).write_text("".join(lines))
    recipe = {
        "name": name,
        "output": str(folder),
        "task": {"name": "custom", "path": files, "answer": "number", "label": "sums"},
        "teacher": {"name": "scripted", "replies": {"": f" The answer is {says}."}},
        "methods": [
            {"name": "zero_shot_cot", "role": "teacher", "label": "teacher"},
            {"name": "zero_shot", "role": "teacher", "label": "plain"},
        ],
        **more,
    }
    return run_recipe(parse_recipe(recipe))


ROWS = [(f"What is {n} + 1?", "7" if n % 4 else "5") for n in range(40)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("runs")
    later = [("what is  0 + 1?", "5"), *reversed(ROWS[1:30]), ("new?", "7"), (ROWS[35][0], "9")]
    return made(folder, "one", ROWS, "5"), made(folder, "two", later, "7")


def test_rows_are_paired_on_the_questions_that_both_have(runs: tuple[Run, Run]) -> None:
    found, pairs = compare_runs(*runs)
    (board,) = found
    assert len(board.ids) == 30 and len(board.other_gold) == 1
    assert (board.only_first, board.only_second) == (9, 1)
    assert [(pair.first.label, pair.second.label) for pair in pairs] == [
        ("teacher", "teacher"), ("plain", "plain"),
    ]  # fmt: skip
    fives = sum(answer == "5" for _, answer in ROWS[:30])
    one, other = (
        [int(answer == "5") for _, answer in ROWS[:30]],
        [int(answer == "7") for _, answer in ROWS[:30]],
    )
    for pair in pairs:
        assert pair.accuracies == pytest.approx((fives / 30, 1 - fives / 30))
        assert pair.pair.difference == pytest.approx(1 - 2 * fives / 30)
        assert pair.pair.first_only == pytest.approx(1 - fives / 30)
        assert pair.pair.both == pair.pair.neither == 0
    p = compare(other, one).p
    assert [pair.pair.p_corrected for pair in pairs] == holm([p, p]) and p < 0.05


def test_the_chapter_says_what_is_the_same_and_what_was_refused(runs: tuple[Run, Run]) -> None:
    compared = chapter(*runs, *compare_runs(*runs))
    text = "\n".join(compared.sentences)
    assert "30 questions are the same; 9 only in one, 1 only in two." in text
    assert "1 questions have the same words and another gold answer" in text
    assert "two is better" in text
    settings = next(one for one in compared.sections if one.title == "Settings that differ")
    assert ("teacher.replies.", " The answer is 5.", " The answer is 7.") in settings.rows


def test_a_run_beside_itself_differs_in_nothing(runs: tuple[Run, Run]) -> None:
    _, pairs = compare_runs(runs[0], runs[0])
    assert {(pair.pair.difference, pair.pair.p_corrected) for pair in pairs} == {(0.0, 1.0)}


def test_a_run_given_twice_has_short_names(runs: tuple[Run, Run]) -> None:
    first = runs[0]
    compared = chapter(first, first, *compare_runs(first, first))
    assert compared.title == "first and second"
    assert compared.sections[0].header[1:3] == ("first %", "second %")


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("runs/a/x", "runs/b/x", ("a", "b")),
        ("runs/monday/1/x", "runs/tuesday/1/x", ("monday", "tuesday")),
        ("runs/x", "old/deep/x", ("runs", "old/deep")),
        ("runs/x", "runs/x/x", ("x", "x/x")),
        ("runs/x", "x", ("cwd/runs/x", "cwd/x")),
        ("runs/x", "runs/../runs/x", ("first", "second")),
    ],
)
def test_of_runs_of_one_name_the_paths_are_told_by_what_differs(
    tmp_path: Path, first: str, second: str, names: tuple[str, str]
) -> None:
    assert telling_apart(tmp_path / "cwd" / first, tmp_path / "cwd" / second) == names


def test_runs_without_a_common_question_are_not_paired(
    runs: tuple[Run, Run], tmp_path: Path
) -> None:
    other = made(tmp_path, "three", [("Which is it?", "7")], "7")
    found, pairs = compare_runs(runs[0], other)
    assert found == [] and pairs == []
    compared = chapter(runs[0], other, found, pairs)
    assert "nothing is paired" in compared.sentences[0]
    assert {"All rows of one", "All rows of three"} <= {one.title for one in compared.sections}


def test_other_gold_alone_is_refused(runs: tuple[Run, Run], tmp_path: Path) -> None:
    other = made(tmp_path, "four", [(text, "3") for text, _ in ROWS], "3")
    found, pairs = compare_runs(runs[0], other)
    assert [len(one.other_gold) for one in found] == [40] and pairs == []
    assert to_json(runs[0], other, found, pairs)["tables"][0]["same_questions"] == 0


def test_the_command_prints_writes_a_page_and_json(runs: tuple[Run, Run], tmp_path: Path) -> None:
    folders = [str(run.folder) for run in runs]
    page = tmp_path / "c.html"
    shown = CliRunner().invoke(app, ["compare", *folders, "--html", str(page)])
    assert shown.exit_code == 0 and "30 questions are the same" in shown.output
    assert "30 questions are the same" in page.read_text("utf-8")
    plain = CliRunner().invoke(app, ["compare", *folders, "--json"])
    table = json.loads(plain.output)["tables"][0]
    assert table["same_questions"] == 30 and table["rows"][0]["difference"] > 0
    lost = CliRunner().invoke(app, ["compare", folders[0], str(tmp_path)])
    assert lost.exit_code != 0 and "recipe.yaml" in str(lost.exception)

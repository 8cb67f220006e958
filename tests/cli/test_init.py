"""`cotdistill init`: the recipe knows the columns of every kind of file the custom task reads, and
parses."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cotdistill.cli import init
from cotdistill.data.rows import Row
from cotdistill.errors import CotdistillError, DataError
from cotdistill.recipe import load_recipe
from cotdistill.tasks.custom import Custom

app = typer.Typer()
init.register(app)


def task_of(folder: Path, *arguments: object) -> Custom:
    out = folder / "recipe.yaml"
    result = CliRunner().invoke(app, [*map(str, arguments), "--out", str(out), "--force"])
    if isinstance(result.exception, CotdistillError):
        raise result.exception
    assert result.exit_code == 0, result.output
    task = load_recipe(out).tasks[0].plugin
    assert isinstance(task, Custom)
    return task


def write(path: Path, row: dict[str, str]) -> Path:
    names, cells = list(row), list(row.values())
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(
            pyarrow.table({name: [cell] for name, cell in row.items()}), path
        )
        return path
    mark = {".csv": ",", ".tsv": "\t"}.get(path.suffix)
    table = f"{mark}".join(names) + "\n" + f"{mark}".join(cells) + "\n"
    text = table if mark else json.dumps([row] if path.suffix == ".json" else row)
    path.write_text(text + "\n", "utf-8-sig")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"])
def test_every_kind_of_file_shows_its_columns(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path / f"mine{suffix}", {"Problem": "1 + 2?", "gold": "3"})
    task = task_of(tmp_path, file)
    assert task.columns == {"question": "Problem", "answer": "gold"}
    assert "# your file has: Problem, gold" in (tmp_path / "recipe.yaml").read_text("utf-8")
    assert [question.answer for part in task.load().values() for question in part] == ["3"]


def test_a_folder_shows_the_columns_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", {"prompt": "1 + 2?", "target": "3"})
    assert task_of(tmp_path, tmp_path).columns == {"question": "prompt", "answer": "target"}


def test_options_are_mapped_to_the_files_column(tmp_path: Path) -> None:
    row = {"question": "Which?", "answer": "B", "Choices": '["red", "blue"]'}
    task = task_of(tmp_path, write(tmp_path / "mine.jsonl", row), "--answer", "choice")
    assert task.columns["options"] == "Choices"


def test_the_usual_name_wins_over_the_order_of_columns(tmp_path: Path) -> None:
    row = {"input": "a passage", "label": "x", "question": "1 + 2?", "answer": "3"}
    assert task_of(tmp_path, write(tmp_path / "mine.csv", row)).columns == {
        "question": "question",
        "answer": "answer",
    }


def test_a_field_without_a_column_is_pointed_out(tmp_path: Path) -> None:
    task_of(tmp_path, write(tmp_path / "mine.csv", {"aufgabe": "1 + 2?", "answer": "3"}))
    assert "question: question      # no column of your file" in (
        tmp_path / "recipe.yaml"
    ).read_text("utf-8")


def test_names_with_a_meaning_in_yaml_are_quoted(tmp_path: Path) -> None:
    file = write(
        tmp_path / "my data: v2 #1.jsonl",
        {"Text ": "1 + 2?", "target": "3", "a\n b: #": "", "{x": ""},
    )
    task = task_of(tmp_path, file)
    assert task.path == str(file)
    assert task.columns == {"question": "Text ", "answer": "target"}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_gives_a_recipe_that_parses(name: str) -> None:
    import yaml

    found = [Row("f:1", {name: "1 + 1?", "answer": "2"})]
    read = yaml.safe_load(init.recipe_text(name, init.proposal(found, None), found))
    assert read["task"]["path"] == name


def test_a_file_that_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes("question,réponse\n1 + 2?,3\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"mine\.csv:1: not UTF-8 .*; save the file as UTF-8"):
        task_of(tmp_path, tmp_path / "mine.csv")


@pytest.mark.parametrize("name", ["none.jsonl", "none.csv", "./none", "a/b/c"])
def test_a_path_without_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such file; correct the path, or use a hub id"):
        task_of(tmp_path, name)
    assert not (tmp_path / "recipe.yaml").exists()


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").touch()
    with pytest.raises(DataError, match="the file is empty"):
        task_of(tmp_path, tmp_path / "mine.jsonl")


def test_a_hub_id_and_no_name_at_all_give_a_template(tmp_path: Path) -> None:
    assert task_of(tmp_path, "owner/dataset").path == "owner/dataset"
    assert task_of(tmp_path).path == "questions.jsonl"

"""`cotdistill init`: the recipe knows the columns of every kind of file the custom task reads, and
parses."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cotdistill.cli import init
from cotdistill.data.proposals import proposal
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


@pytest.mark.parametrize(
    ("row", "arguments", "message"),
    [
        ({"aufgabe": "1 + 2?", "answer": "3"}, (), "question .* it has aufgabe, answer: .*--quest"),
        (
            {"question": "1 + 2?", "x": "3"},
            (),
            "answer usually is; .*--answer-field NAME; or --unl",
        ),
        ({"question": "1 + 2?"}, ("--unlabelled",), "no question has an answer"),
        ({"question": "Who?", "answer": "Ada"}, ("--answer", "number"), "'Ada' is no number"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_written(
    tmp_path: Path, row: dict[str, str], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        task_of(tmp_path, write(tmp_path / "mine.jsonl", row), *arguments)
    assert not (tmp_path / "recipe.yaml").exists()


def test_columns_are_named_by_flags(tmp_path: Path) -> None:
    row = {"aufgabe": "Which?", "lösung": "B", "x": "red", "y": "two"}
    flags = "--question-field aufgabe --answer-field lösung --options-field x --options-field y"
    task = task_of(tmp_path, write(tmp_path / "mine.csv", row), *flags.split())
    assert task.columns == {"question": "aufgabe", "answer": "lösung", "options": ("x", "y")}
    assert [one.options for part in task.load().values() for one in part] == [("red", "two")]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"A": "red", "B": "two", "C": "six"}, {"options": ("A", "B", "C")}),
        ({"options": "A) red B) two C) six"}, {"options": "options"}),
        ({"question": "Which? Options: (A) red (B) two (C) six"}, {}),
        ({}, {}),
    ],
)
def test_letters_are_a_choice(tmp_path: Path, row: dict[str, str], columns: object) -> None:
    rows = [{"question": f"Which {n}?", "answer": "ABC"[n % 3], **row} for n in range(9)]
    if "question" in row:
        rows = [{**one, "question": f"{n}: {row['question']}"} for n, one in enumerate(rows)]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    task = task_of(tmp_path, tmp_path / "quiz.jsonl")
    assert task.answer == "choice"
    assert {name: task.columns[name] for name in task.columns if name == "options"} == columns
    questions = [one for part in task.load().values() for one in part]
    assert {one.answer for one in questions} == set("ABC")
    assert {len(one.options) for one in questions} == {3 if row else 0}


def test_the_first_questions_are_shown_as_they_are_read(tmp_path: Path) -> None:
    rows = [{"problem": f"{n} + \x1b[31m1?", "gold": f"So: #### {n}"} for n in range(20)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(
        app, [str(tmp_path / "sums.jsonl"), "--out", str(tmp_path / "r.yaml"), "--student", "lab"]
    )
    assert "14 train, 2 validation, 4 test" in result.output
    assert result.output.count("  Q: ") == 3 and "[number]" in result.output
    assert "\x1b" not in result.output and "####" not in result.output
    recipe = (tmp_path / "r.yaml").read_text("utf-8")
    assert recipe.startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert json.loads((tmp_path / "recipe.schema.json").read_text("utf-8"))["title"]
    assert load_recipe(tmp_path / "r.yaml").tasks[0].label == "sums"


def test_questions_without_answers_are_judged_by_agreement(tmp_path: Path) -> None:
    rows = [{"question": f"{n} + 1?", "answer": str(n + 1) if n % 2 else None} for n in range(40)]
    (tmp_path / "half.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = task_of(tmp_path, tmp_path / "half.jsonl", "--unlabelled")
    assert task.unlabelled and len(list(task.questions("train"))) == 14 + 20
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert [one.name for one in recipe.methods] == ["zero_shot", "fine_tune_cot", "zero_shot_cot"]
    assert recipe.methods[1].filters[0].name == "self_consistency"


def test_a_person_at_the_terminal_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "mine.csv", {"aufgabe": "1 + 2?", "answer": "3"})
    monkeypatch.setattr(init, "_at_terminal", lambda: True)
    arguments = [str(file), "--out", str(tmp_path / "r.yaml")]
    typed = "aufgabe\n\n\nllama3\nhttp://localhost:8000/v1\nlab\n"
    result = CliRunner().invoke(app, arguments, input=typed)
    assert result.exit_code == 0, result.output
    assert "column of the question (aufgabe, answer)" in result.output
    recipe = load_recipe(tmp_path / "r.yaml")
    assert recipe.tasks[0].plugin.columns["question"] == "aufgabe"
    assert recipe.teacher.settings["model"] == "llama3" and recipe.students[0].label == "lab"
    before = (tmp_path / "r.yaml").read_text("utf-8")
    with pytest.raises(DataError, match="--question-field NAME"):
        CliRunner().invoke(app, [*arguments, "--yes", "--force"], catch_exceptions=False)
    assert (tmp_path / "r.yaml").read_text("utf-8") == before


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
    models = {"teacher": name, "base_url": name, "student": name}
    read = yaml.safe_load(init.recipe_text(name, proposal(found), found, models))
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


@pytest.mark.parametrize("elsewhere", [False, True])
def test_shards_and_addresses(tmp_path: Path, elsewhere: bool) -> None:
    for number in (1, 2):
        write(
            tmp_path / f"mine-{number}.csv", {"Problem": f"{number} + 2?", "gold": f"{number + 2}"}
        )
        with fsspec.open(f"memory://{tmp_path}/mine-{number}.csv", "wb") as file:
            file.write((tmp_path / f"mine-{number}.csv").read_bytes())
    data = f"memory://{tmp_path}/mine-*.csv" if elsewhere else tmp_path / "mine-*.csv"
    task = task_of(tmp_path, data)
    assert task.path == str(data)
    found = {question.answer for part in task.load().values() for question in part}
    assert found == {"3", "4"}

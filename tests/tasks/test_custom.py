import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cotdistill.errors import DataError
from cotdistill.recipe import parse_recipe
from cotdistill.tasks.custom import Custom


def write_jsonl(path: Path, rows: list[Any]) -> str:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8"
    )
    return str(path)


def numbers(count: int, name: str = "") -> list[dict[str, Any]]:
    return [{"question": f"How much is {i} + 1{name}?", "answer": i + 1} for i in range(count)]


def test_one_file_is_dealt_by_shares(tmp_path: Path) -> None:
    task = Custom(path=write_jsonl(tmp_path / "q.jsonl", numbers(20)))
    parts = {
        split: [q.id for q in task.questions(split)]
        for split in ("train", "validation", "test", "ood")
    }
    assert {split: len(ids) for split, ids in parts.items()} == {
        "train": 14,
        "validation": 2,
        "test": 4,
        "ood": 0,
    }
    assert len({id for ids in parts.values() for id in ids}) == 20
    again = Custom(path=str(tmp_path / "q.jsonl"))
    assert parts == {split: [q.id for q in again.questions(split)] for split in parts}
    other = Custom(path=str(tmp_path / "q.jsonl"), seed=1)
    assert parts["test"] != [q.id for q in other.questions("test")]


def test_a_file_for_each_split(tmp_path: Path) -> None:
    paths = {
        split: write_jsonl(tmp_path / f"{split}.jsonl", numbers(10, split))
        for split in ("train", "test")
    }
    task = Custom(path=paths, validation=3)
    assert [len(list(task.questions(s))) for s in ("train", "validation", "test")] == [7, 3, 10]


def test_columns_are_mapped_and_options_read(tmp_path: Path) -> None:
    rows = [
        {"q": "Which?", "gold": "blue", "choices": ["red", "blue"], "why": "sky", "key": "a"},
        {
            "q": "Which?",
            "gold": "(A)",
            "choices": {"text": ["red", "blue"], "label": ["1", "2"]},
            "why": "",
            "key": "b",
        },
        {
            "q": "Which?",
            "gold": "2",
            "choices": {"text": ["red", "blue"], "label": ["1", "2"]},
            "why": None,
            "key": "c",
        },
    ]
    columns = {
        "question": "q",
        "answer": "gold",
        "options": "choices",
        "rationale": "why",
        "id": "key",
    }
    task = Custom(
        path=write_jsonl(tmp_path / "q.jsonl", rows),
        answer="choice",
        columns=columns,
        shares={"test": 1.0},
    )
    found = list(task.questions("test"))
    assert [question.answer for question in found] == ["B", "A", "B"]
    assert [question.id for question in found] == ["a", "b", "c"]
    assert found[0].rationale == "sky" and found[0].options == ("red", "blue")


def test_files_of_one_task_may_name_their_columns_differently(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "a.jsonl", [{"instruction": "1 + 1?", "output": "2"}])
    test = write_jsonl(tmp_path / "b.jsonl", [{"question": "2 + 2?", "label": "4"}])
    columns = {"question": ["instruction", "question"], "answer": ["output", "label"]}
    task = Custom.model_validate({"path": {"train": train, "test": test}, "columns": columns})
    read = [next(iter(task.questions(split))) for split in ("train", "test")]
    assert [(one.text, one.answer) for one in read] == [("1 + 1?", "2"), ("2 + 2?", "4")]
    with pytest.raises(DataError, match="no field 'output'"):
        list(
            task.model_copy(
                update={
                    "path": {
                        "train": train,
                        "test": train,
                        "ood": write_jsonl(
                            tmp_path / "c.jsonl", [{"question": "3?", "result": "3"}]
                        ),
                    }
                }
            ).questions("ood")
        )


def test_csv_and_parquet(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    with (tmp_path / "q.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["question", "answer", "options"])
        writer.writeheader()
        writer.writerow({"question": "Which, one?", "answer": "A", "options": '["x", "y"]'})
    (from_csv,) = Custom(
        path=str(tmp_path / "q.csv"), answer="choice", shares={"test": 1.0}
    ).questions("test")
    assert (from_csv.text, from_csv.options) == ("Which, one?", ("x", "y"))
    pyarrow.parquet.write_table(
        pyarrow.table({"question": ["1+1?"], "answer": [2.0]}), tmp_path / "q.parquet"
    )
    (from_parquet,) = Custom(path=str(tmp_path / "q.parquet"), shares={"test": 1.0}).questions(
        "test"
    )
    assert from_parquet.answer == "2"


def test_worked_solutions(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "q.jsonl", [{"question": "1+1?", "answer": "one and one\n#### 2"}]
    )
    (question,) = Custom(path=path, answer_after="####", shares={"test": 1.0}).questions("test")
    assert (question.answer, question.rationale) == ("2", "one and one")


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (
            [{"question": "a", "answer": 1}, '{"question": "b", '],
            {},
            r"q.jsonl:2: malformed JSON at column \d+.*remove it",
        ),
        (
            [{"question": "a", "gold": 1}],
            {},
            r"q.jsonl:1: no field 'answer' for the answer; it has question, gold",
        ),
        (
            [{"question": "a", "answer": 1}],
            {"columns": {"rationale": "why"}},
            r"q.jsonl:1: no field 'why' for the rationale",
        ),
        ([{"question": "", "answer": 1}], {}, r"q.jsonl:1: question is empty; fill it in"),
        ([{"question": "a", "answer": "many"}], {}, r"q.jsonl:1: answer: 'many' is no number"),
        (
            [{"question": "a", "answer": "C", "options": ["x", "y"]}],
            {"answer": "choice"},
            r"q.jsonl:1: answer 'C' names none of the 2",
        ),
        (
            [{"question": "a", "answer": "A", "options": 7}],
            {"answer": "choice"},
            r"q.jsonl:1: options: not a list",
        ),
        (["[1, 2]"], {}, r"q.jsonl: item 0: a row must be an object"),
        ([{"question": ["a"], "answer": 1}], {}, r"q.jsonl:1: question is a list, not text"),
        (
            [{"question": "a", "answer": 1, "id": 1}, {"question": "b", "answer": 1, "id": 1}],
            {},
            r"q.jsonl:2: id '1' stands twice",
        ),
        ([], {}, r"q.jsonl: no questions; the file is empty"),
        (
            [{"question": "a", "answer": "5"}],
            {"answer_after": "####"},
            r"q.jsonl:1: answer: has no '####'",
        ),
    ],
)
def test_bad_input_is_one_line_with_place_field_and_remedy(
    tmp_path: Path, rows: list[Any], settings: dict[str, Any], message: str
) -> None:
    path = write_jsonl(tmp_path / "q.jsonl", rows)
    with pytest.raises(DataError, match=message) as caught:
        Custom(path=path, **settings).questions("test")
    assert "\n" not in str(caught.value)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "q.jsonl", numbers(2))
    with pytest.raises(DataError, match="the split 'test' is empty"):
        Custom(path=path).questions("test")


def test_a_missing_file_and_a_bad_setting(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; correct the path, or use a hub id"):
        Custom(path=str(tmp_path / "none.jsonl")).questions("test")
    with pytest.raises(ValidationError, match="is no field of a question"):
        Custom(path="x.jsonl", columns={"anwser": "x"})
    with pytest.raises(ValidationError, match="sum to 1"):
        Custom(path="x.jsonl", shares={"train": 0.5})


def test_not_utf8_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_bytes(
        b'{"question": "a", "answer": 1}\n{"question": "\xff", "answer": 1}\n'
    )
    with pytest.raises(DataError, match=r"q.jsonl:2: not UTF-8"):
        Custom(path=str(tmp_path / "q.jsonl")).questions("test")


def test_a_folder_with_a_file_for_each_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_jsonl(
            tmp_path / f"{split}.jsonl",
            [row | {"id": index} for index, row in enumerate(numbers(10, split))],
        )
    task = Custom(path=str(tmp_path), validation=2)
    parts = {
        split: [question.id for question in task.questions(split)]
        for split in ("train", "validation", "test")
    }
    assert [len(ids) for ids in parts.values()] == [8, 2, 10]
    assert parts["test"][0] == "test/0", "ids that stand in two files are told apart by the split"
    with pytest.raises(DataError, match="holds no train, validation or test file"):
        Custom(path=str(tmp_path.parent / tmp_path.name / ".."), validation=2).questions("train")


def test_hub_data_sets_are_read_by_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    from cotdistill.data.rows import hub_rows

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for split in ("train", "test"):
        write_jsonl(tmp_path / f"{split}.jsonl", numbers(3))
    rows = list(hub_rows(str(tmp_path), None, "test"))
    assert [row.fields["answer"] for row in rows] == [1, 2, 3]
    with pytest.raises(DataError, match=r"split validation\): .*check the id and the network"):
        list(hub_rows(str(tmp_path), None, "validation"))


def test_more_options_than_letters_are_refused(tmp_path: Path) -> None:
    rows = [
        {"question": "Which?", "answer": "30", "options": [str(index) for index in range(1, 41)]}
    ]
    with pytest.raises(DataError, match=r"q\.jsonl:1: 40 options; there can be 26, A–Z"):
        Custom(path=write_jsonl(tmp_path / "q.jsonl", rows), answer="choice").load()
    rows[0]["options"] = rows[0]["options"][4:30]
    (question,) = Custom(
        path=write_jsonl(tmp_path / "q.jsonl", rows), answer="choice", shares={"test": 1.0}
    ).load()["test"]
    assert question.answer == "Z"


@pytest.mark.parametrize(
    ("file", "place"),
    [("q.jsonl", r"q\.jsonl:2"), ("q.json", r"q\.json: item 1"), ("q.csv", r"q\.csv:3")],
)
def test_half_a_character_is_refused_where_it_stands(tmp_path: Path, file: str, place: str) -> None:
    good, bad = (
        '{"question": "\\ud83d\\ude00 ä", "answer": 1}',
        '{"question": "a \\ud83d b", "answer": 1}',
    )
    texts = {
        "q.jsonl": f"{good}\n{bad}\n",
        "q.json": f"[{good},\n{bad}]",
        "q.csv": 'question,answer,options\na,1,\nb,A,"[""\\ud83d"", ""x""]"\n',
    }
    (tmp_path / file).write_text(texts[file], "utf-8")
    field = "options" if file == "q.csv" else "question"
    with pytest.raises(
        DataError, match=rf"{place}: {field}: holds \\ud83d, half of a character; write the whole"
    ):
        Custom(path=str(tmp_path / file)).load()


def test_half_a_character_in_a_list_is_refused(tmp_path: Path) -> None:
    line = (
        '{"question": "Which?", "answer": "A", "choices": {"text": ["x", "\\udc00"], '
        '"label": ["1", "2"]}}'
    )
    columns = {"options": "choices"}
    with pytest.raises(DataError, match=r"q\.jsonl:1: choices: holds \\udc00"):
        Custom(
            path=write_jsonl(tmp_path / "q.jsonl", [line]), answer="choice", columns=columns
        ).load()


@pytest.mark.parametrize(
    "row",
    [
        {"A": "red", "B": "two", "C": "", "D": None},
        {"Option A": "red", "option b": "two"},
        {"choice_1": "red", "choice_2": "two"},
        {"options": "A) red B) two"},
        {"options": "(A) red; (B) two."},
        {"options": "A. red\nB. two"},
        {"options": "red | two"},
        {"options": "red; two"},
        {"options": "['red', 'two']"},
        {"options": ["A) red", "B) two"]},
        {"choices": {"text": ["red", "two"], "label": ["1", "2"]}},
        {"question": "Which is a colour? Options: (A) red (B) two"},
        {"question": "Which is a colour?\nAnswer choices: A: red, B: two"},
    ],
)
@pytest.mark.parametrize("answer", ["A", "(a)", "red"])
def test_options_in_every_form(tmp_path: Path, row: dict[str, Any], answer: str) -> None:
    (tmp_path / "quiz.jsonl").write_text(
        json.dumps({"question": "Which is a colour?", "answer": answer, **row})
    )
    task = Custom(path=str(tmp_path / "quiz.jsonl"), answer="choice", shares={"test": 1.0})
    (question,) = task.questions("test")
    assert (question.text, question.options) == ("Which is a colour?", ("red", "two"))
    assert question.answer == "A"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"options": "red, two"}, 'not a list of texts; write .* "A\\) first B\\) second" or'),
        ({"options": "7"}, "not a list of texts"),
        ({"A": "red", "B": "", "C": "two"}, "option B is empty; fill it in, or remove the row"),
        ({"A": "red", "B": "two", "answer": "C"}, "'C' names none of the 2 options"),
    ],
)
def test_options_that_cannot_be_read(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    (tmp_path / "quiz.jsonl").write_text(json.dumps({"question": "?", "answer": "A", **row}))
    with pytest.raises(DataError, match=f"quiz.jsonl:1: .*{message}"):
        Custom(path=str(tmp_path / "quiz.jsonl"), answer="choice").load()


def test_mapped_columns_hold_an_option_each(tmp_path: Path) -> None:
    (tmp_path / "quiz.csv").write_text("question,right,bad,answer\nWhich?,red,two,red\n")
    columns = {"options": ("right", "bad")}
    path = str(tmp_path / "quiz.csv")
    task = Custom(path=path, answer="choice", columns=columns, shares={"test": 1.0})
    assert [one.options for one in task.questions("test")] == [("red", "two")]


def test_letters_in_columns_are_options_of_a_choice_alone(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question,A,B,answer\n1 + 2?,x,y,3\n")
    task = Custom(path=str(tmp_path / "q.csv"), shares={"test": 1.0})
    assert [(one.options, one.answer) for one in task.questions("test")] == [((), "3")]


def test_chats_are_a_task_without_a_mapping(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "3 + 8?"}, {"role": "assistant", "content": "11"}]
    (tmp_path / "q.jsonl").write_text(json.dumps({"messages": said}))
    task = Custom(path=str(tmp_path / "q.jsonl"), shares={"test": 1.0})
    assert [(one.text, one.answer) for one in task.questions("test")] == [("3 + 8?", "11")]


def test_null_is_told_from_a_missing_field(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    for row, message in (
        ({"question": "?", "answer": None}, "answer is empty; fill it in, or remove the row"),
        ({"question": "?"}, "no field 'answer' for the answer; it has question"),
    ):
        path.write_text(json.dumps(row))
        with pytest.raises(DataError, match=message):
            Custom(path=str(path)).load()


def test_unlabelled_questions_are_trained_on_and_never_tested(tmp_path: Path) -> None:
    known = [{"question": f"{n}?", "answer": str(n)} for n in range(10)]
    bare = [{"question": f"and {n}?", "answer": None} for n in range(5)]
    for name, found in (("all", [*bare, *known]), ("train", bare), ("test", known)):
        lines = "".join(json.dumps(row) + "\n" for row in found)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    splits = Custom(path=str(tmp_path / "all.jsonl"), unlabelled=True).load()
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 7 + 5,
        "validation": 1,
        "test": 2,
    }
    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "test")}
    splits = Custom(path=files, unlabelled=True).load()
    assert [one.answer for one in splits["train"]] == [None] * 5 and "validation" not in splits
    with pytest.raises(DataError, match="of the test split has no answer"):
        Custom(path={"train": files["test"], "test": files["train"]}, unlabelled=True).load()


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("data/problems.csv", "problems"),
        ("problems.jsonl.gz", "problems"),
        ("owner/quiz", "quiz"),
        ("my/folder/", "folder"),
        ({"train": "sums/train.csv", "test": "sums/test.csv"}, "sums"),
        ({"train": "train.csv", "test": "test.csv"}, "custom"),
    ],
)
def test_the_task_is_called_by_its_file(path: Any, label: str) -> None:
    task = {"name": "custom", "path": path}
    recipe = parse_recipe({"name": "r", "task": task, "methods": ["answer_only"]})
    assert [entry.label for entry in recipe.tasks] == [label]


@pytest.mark.parametrize(
    ("trained", "tested", "same"),
    [
        ("What is 5 + 3?", "What is 5 - 3?", False),
        ("What is -3 squared?", "What is 3 squared?", False),
        ("What is 3.5 in words?", "What is 3, 5 in words?", False),
        ("Was kostet ein Caf\u00e9?", "Was  kostet ein Cafe\u0301 ?", True),
        ("How many are twenty-one pens?", "how many are twenty one pens", True),
    ],
)
def test_a_test_question_is_known_by_its_words_and_signs(
    tmp_path: Path, trained: str, tested: str, same: bool
) -> None:
    files = {
        name: write_jsonl(tmp_path / f"{name}.jsonl", [{"question": text, "answer": 8}])
        for name, text in (("train", trained), ("test", tested))
    }
    try:
        assert [*Custom(path=files).questions("train")] and not same
    except DataError as error:
        assert same and "stand in the test split" in str(error)


@pytest.mark.parametrize(("options", "gold"), [(["red", "red"], "red"), (["red", "Red"], "RED")])
def test_a_text_that_two_options_have_names_neither(
    tmp_path: Path, options: list[str], gold: str
) -> None:
    row = {"question": "Which?", "options": options, "answer": gold}
    path = write_jsonl(tmp_path / "q.jsonl", [row, row | {"answer": "B", "question": "What?"}])
    with pytest.raises(DataError, match="is the text of two options; give its letter"):
        [*Custom(path=path, answer="choice").questions("train")]

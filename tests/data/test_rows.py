"""Rows come from files, patterns of files and addresses alike."""

from __future__ import annotations

import asyncio
import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import pyarrow
import pyarrow.parquet
import pytest

from cotdistill.data.rows import is_hub_id, local_file, rows
from cotdistill.errors import DataError
from cotdistill.records import Request
from cotdistill.tasks.custom import Custom
from cotdistill.teachers.recorded import Recorded

ROWS = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(6)]


def jsonl(found: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in found).encode()


def table(found: list[dict[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(found[0]))
    writer.writeheader()
    writer.writerows(found)
    return file.getvalue().encode()


def parquet(found: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found), file)
    return file.getvalue()


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    ".jsonl": jsonl,
    ".jsonl.gz": lambda found: gzip.compress(jsonl(found)),
    ".ndjson.bz2": lambda found: bz2.compress(jsonl(found)),
    ".csv.zst": lambda found: pyarrow.compress(table(found), codec="zstd", asbytes=True),
    ".csv": table,
    ".parquet": parquet,
}


def place(address: str, content: bytes) -> str:
    with fsspec.open(address, "wb") as file:
        file.write(content)
    return address


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("suffix", FORMS)
def test_all_files_of_a_pattern_are_read_in_order(
    tmp_path: Path, suffix: str, elsewhere: bool
) -> None:
    folder = f"memory://{tmp_path}" if elsewhere else str(tmp_path)
    for name, part in (("train-2", ROWS[4:]), ("train-1", ROWS[:4]), ("test-1", ROWS[:1])):
        place(f"{folder}/{name}{suffix}", FORMS[suffix](part))
    assert [dict(row.fields) for row in rows(f"{folder}/train-*{suffix}")] == ROWS
    assert [dict(row.fields) for row in rows(f"{folder}/train-2{suffix}")] == ROWS[4:]
    with pytest.raises(DataError, match=r"valid-\*.*: no file fits"):
        list(rows(f"{folder}/valid-*{suffix}"))


def test_no_shard_of_a_folder_is_left_out(tmp_path: Path) -> None:
    for number, part in enumerate((ROWS[:4], ROWS[4:])):
        (tmp_path / f"train-0000{number}-of-00002.parquet").write_bytes(parquet(part))
    (tmp_path / "test.jsonl").write_text('{"question": "And 8?", "answer": "8"}\n')
    found = local_file(tmp_path, "train")
    assert found is not None and [dict(row.fields) for row in rows(found)] == ROWS
    task = Custom(path=str(tmp_path), validation=0)
    assert [one.answer for one in task.questions("train")] == list("123456")


def test_a_task_and_a_teacher_read_addresses(tmp_path: Path) -> None:
    folder = f"memory://{tmp_path}"
    for number, part in enumerate((ROWS[:3], ROWS[3:])):
        place(f"{folder}/train-{number}.parquet", parquet(part))
    place(f"{folder}/test.jsonl", jsonl([{"question": "And 8?", "answer": "8"}]))
    sources: Any = {"train": f"{folder}/train-*.parquet", "test": f"{folder}/test.jsonl"}
    task = Custom(path=sources, validation=2)
    assert [len(list(task.questions(split))) for split in ("train", "validation", "test")] == [
        4,
        2,
        1,
    ]
    assert task.stamp() is None  # nothing tells that a file elsewhere has changed
    said = [{**row, "completion": f"That is {row['answer']}."} for row in ROWS]
    for number, part in enumerate((said[:3], said[3:])):
        place(f"{folder}/said-{number}.parquet", parquet(part))
    teacher = Recorded(files=f"{folder}/said-*.parquet").open()  # type: ignore[arg-type]
    for row in (ROWS[0], ROWS[5]):
        (reply,) = asyncio.run(teacher.complete(Request(row["question"]), [0]))
        assert reply.text == f" That is {row['answer']}."
    digests = teacher.identity()["files"]
    place(f"{folder}/said-1.parquet", parquet(said[4:]))
    assert teacher.identity()["files"] != digests and len(digests) == 2


QUESTIONS = ["a?", "b?"]
COLUMNS: dict[str, Any] = {
    "dictionary": pyarrow.array(["2", "3"]).dictionary_encode(),
    "large_string": pyarrow.array(["2", "3"], pyarrow.large_string()),
    "string_view": pyarrow.array(["2", "3"], pyarrow.string_view()),
    "uint64": pyarrow.array([2, 3], pyarrow.uint64()),
    "float16": pyarrow.array([2, 3], pyarrow.float16()),
    "decimal": pyarrow.array([Decimal("2.00"), Decimal("3.00")], pyarrow.decimal128(6, 2)),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_kind_of_column_that_holds_texts_or_numbers_is_read(
    kind: str, tmp_path: Path
) -> None:
    pyarrow.parquet.write_table(
        pyarrow.table({"question": QUESTIONS, "answer": COLUMNS[kind]}), tmp_path / "q.parquet"
    )
    task = Custom(path=str(tmp_path / "q.parquet"), shares={"train": 1.0})
    assert [one.answer for one in task.questions("train")] == ["2", "3"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (date(2026, 1, 2), "answer is a date, not text; map another column to it, or write"),
        (datetime(2026, 1, 2), "answer is a datetime, not text"),
        (b"7", "answer is a bytes, not text"),
        ([7], "answer is a list, not text"),
        (float("inf"), "answer is an infinite number; correct it"),
        (float("nan"), "answer is empty; fill it in, or remove the row"),
    ],
)
def test_a_column_of_anything_else_is_one_line(value: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "q.parquet").write_bytes(parquet([{"question": "a?", "answer": value}]))
    with pytest.raises(DataError, match=rf"q\.parquet: row 0: {message}"):
        Custom(path=str(tmp_path / "q.parquet"), answer="text").load()


def test_shards_may_be_empty_and_a_column_of_several_names_is_mapped(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "s-0.parquet").write_bytes(parquet(ROWS[:2]))
    empty = pyarrow.table({"question": pyarrow.array([], pyarrow.string())})
    pyarrow.parquet.write_table(empty, tmp_path / "b" / "s-1.parquet")
    (tmp_path / "b" / "s-2.parquet").write_bytes(parquet([{"question": "b?", "gold": 4}]))
    every = str(tmp_path / "*" / "s-*.parquet")
    with pytest.raises(DataError, match=r"s-2\.parquet: row 0: no field 'answer'.*: map one of"):
        Custom(path=every).load()
    named = Custom(path=every, columns={"answer": ("answer", "gold")}, shares={"train": 1.0})
    assert [one.answer for one in named.questions("train")] == ["1", "2", "4"]
    assert Custom(path=str(tmp_path / "a" / "*.parquet")).default_label == "a"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", 'question,answer\n"a\nb?",1\n\n"c\nd?",\n', r"q\.csv:5: answer is empty"),
        ("q.csv", 'question,answer\na?,1\n"b?,2\nc?,3\n', r"q\.csv:3: malformed CSV: unexpected"),
        ("q.csv", 'question,answer\n"say "hi"?",1\n', r"q\.csv:2: malformed CSV: ',' expected"),
        ("q.tsv", 'question\tanswer\n"hi" is?\t1\n', r"q\.tsv:2: malformed CSV.*double such"),
        ("q.csv", "question,answer,answer\na?,1,2\n", r"q\.csv:1: two columns are called 'answer'"),
        ("q.csv", "question,answer\na\0?,1\n", r"q\.csv:2: holds a NUL byte"),
        ("q.csv", "question,answer\na?\n", r"q\.csv:2: fewer cells than the 2 columns"),
        ("q.jsonl", '{"question": "a?", "answer": 1}\r\n\r\n{"', r"q\.jsonl:3: malformed JSON"),
        ("q.jsonl", '{"question": "a?", "answer": 1e999}', r"q\.jsonl:1: answer is an infinite"),
        ("q.jsonl", f'{{"answer": {"9" * 5000}}}', r"q\.jsonl:1: .* 5000 digits; correct the line"),
        (
            "q.jsonl",
            '{"question": "a?", "answer": 1}\n' * 300 + "\udcff",
            r"q\.jsonl:301: not UTF-8",
        ),
        (
            "q.jsonl",
            '{"a": [{"b": 1, "c": 2, "b": 3}]}',
            r"q\.jsonl:1: .* the field 'b' stands twice",
        ),
        ("q.jsonl.xz", "", r"unknown kind of file '\.jsonl\.xz'; use .*\.zst or"),
        ("q.parquet.gz", "", r"unknown kind of file '\.parquet\.gz'"),
    ],
)
def test_what_is_malformed_is_named_by_its_first_line(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message):
        Custom(path=str(tmp_path / name), answer="text").load()


def test_rows_of_several_lines_and_empty_columns_are_read(tmp_path: Path) -> None:
    text = '\ufeff\r\n"question",answer,,\r\n"a\r\nb?",1,,\r\n\r\n"c ""d""?",nan,,\r\n'
    (tmp_path / "q.csv").write_bytes(text.encode())
    first, second = rows(tmp_path / "q.csv")
    assert (first.place, first.fields["question"]) == (f"{tmp_path / 'q.csv'}:3", "a\r\nb?")
    assert (second.place, second.fields["question"]) == (f"{tmp_path / 'q.csv'}:6", 'c "d"?')
    assert second.fields["answer"] is None


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    for read in (lambda: list(rows(tmp_path)), lambda: Recorded(files=(tmp_path,)).open()):
        with pytest.raises(DataError, match=r"is a folder; name its files, such as .*/\*\.jsonl"):
            read()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("memory://nowhere/q.jsonl", r"nowhere/q\.jsonl.*check the address, and the keys"),
        ("memory://nowhere/q.parquet", r"nowhere/q\.parquet.*check the address, and the keys"),
        ("nothing://bucket/q.jsonl", r"Protocol not known: nothing; check the address"),
        ("nothing://bucket/q-*.jsonl", r"Protocol not known: nothing; check the address"),
        ("ftp://ann:geheim@host/q.csv", "an address with a password or token"),
        ("memory://q.txt", r"unknown kind of file '.txt'"),
    ],
)
def test_an_address_that_cannot_be_read_is_one_line(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        list(rows(source))
    assert "geheim" not in str(error.value)
    assert not is_hub_id(source)


def test_numbers_of_single_precision_are_read_as_they_were_written(tmp_path: Path) -> None:
    cells = pyarrow.array([0.1, 12.0, None, float("nan"), 3e-7, 1e20], pyarrow.float32())
    pyarrow.parquet.write_table(pyarrow.table({"gold": cells}), tmp_path / "q.parquet")
    read = [row.fields["gold"] for row in rows(tmp_path / "q.parquet")]
    assert read[:3] == [0.1, 12.0, None] and read[3] != read[3] and read[4:] == [3e-7, 1e20]

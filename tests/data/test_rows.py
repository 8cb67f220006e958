"""Rows come from files, patterns of files and addresses alike."""

from __future__ import annotations

import asyncio
import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
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

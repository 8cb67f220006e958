"""Rows by number: files that grow, half lines, files written anew; filters found page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.reporting import paging
from cotdistill.reporting.paging import (
    EVERY,
    Finder,
    LineIndex,
    answer_matches,
    rationale_matches,
    whole_page,
)


def written(path: Path, count: int, mode: str = "w", first: int = 0) -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps({"n": n, "pad": "é" * (n % 97)}) + "\n"
                        for n in range(first, first + count))  # fmt: skip


def numbers(index: LineIndex, start: int, count: int) -> list[int]:
    return [row["n"] for row in index.rows(start, count)]


@pytest.mark.parametrize("chunk", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("count", [0, 1, EVERY - 1, EVERY, EVERY + 1, 5 * EVERY + 3])
def test_every_row_is_found_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, chunk: int
) -> None:
    monkeypatch.setattr(paging, "_CHUNK", chunk)
    path = tmp_path / "rows.jsonl"
    written(path, count)
    index = LineIndex(path)
    assert len(index) == count
    for start in {0, 1, EVERY - 1, EVERY, count - 1, count, count + 5}:
        if start >= 0:
            assert numbers(index, start, 3) == list(range(start, min(start + 3, count)))
    assert numbers(index, 0, count) == list(range(count))


def test_a_file_that_grows_is_followed_and_half_lines_wait(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    index = LineIndex(path)
    assert len(index) == 0
    written(path, 100)
    assert len(index) == 100
    with path.open("a") as file:
        file.write('{"n": 100')
    assert len(index) == 100 and numbers(index, 99, 5) == [99]
    with path.open("a") as file:
        file.write("}\n")
    written(path, 200, "a", 101)
    assert len(index) == 301 and numbers(index, 98, 5) == [98, 99, 100, 101, 102]
    assert numbers(index, 255, 3) == [255, 256, 257]


def test_a_file_written_anew_is_indexed_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    written(path, 100)
    index = LineIndex(path)
    assert len(index) == 100
    written(tmp_path / "new", 300, first=1000)
    (tmp_path / "new").replace(path)
    assert len(index) == 300 and numbers(index, 130, 1) == [1130]
    path.unlink()
    assert len(index) == 0 and numbers(index, 0, 3) == []


class Numbers:
    def __init__(self, size: int) -> None:
        self.size, self.reads = size, 0

    def __len__(self) -> int:
        return self.size

    def read(self, start: int, count: int) -> Iterator[dict[str, Any]]:
        for number in range(start, min(start + count, self.size)):
            self.reads += 1
            yield {"n": number}


def test_a_filter_is_looked_for_as_far_as_it_was_asked() -> None:
    shelf = Numbers(10_000)
    finder = Finder(shelf, lambda item: item["n"] % 100 == 7)
    first = finder.page(0, 5)
    assert [one["n"] for one in first["items"]] == [7, 107, 207, 307, 407] and first["more"]
    assert shelf.reads < 1000
    last = finder.page(98, 5)
    assert [one["n"] for one in last["items"]] == [9807, 9907]
    assert last["total"] == 100 and not last["more"]
    reads = shelf.reads
    assert finder.page(50, 2)["items"] == [{"n": 5007}, {"n": 5107}]
    assert shelf.reads == reads + 2
    assert whole_page(shelf, 9_999, 5) == {"total": 10_000, "more": False, "items": [{"n": 9_999}]}


def test_the_filters_of_the_page() -> None:
    rationale = {"reason": "", "question": "How many?", "text": "3 + 8 = 11"}
    assert rationale_matches({})(rationale) and rationale_matches({"reason": ""})(rationale)
    assert rationale_matches({"search": "MANY"})(rationale)
    assert not rationale_matches({"reason": "answer_match: wrong answer"})(rationale)
    answer = {
        "id": "q1", "question": "How many?", "groups": {"steps": 3},
        "answers": [{"verdict": "correct", "text": "11"}, {"verdict": "wrong", "text": "12"}],
    }  # fmt: skip
    for filter, through in (
        ({}, True), ({"firstVerdict": "correct"}, True), ({"firstVerdict": "wrong"}, False),
        ({"first": 1, "firstVerdict": "wrong"}, True), ({"steps": "3"}, True),
        ({"steps": "4"}, False), ({"search": "12"}, True), ({"search": "13"}, False),
        ({"firstVerdict": "correct", "second": 1, "secondVerdict": "correct"}, False),
        ({"firstVerdict": "not"}, False), ({"second": 1, "secondVerdict": "not"}, True),
    ):  # fmt: skip
        assert answer_matches(filter)(answer) == through, filter

"""Questions in a temporary file come back as they were, and memory does not grow with them."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from cotdistill.data import stored
from cotdistill.data.stored import Stored, StoredQuestions, first_repeated
from cotdistill.errors import StoreError
from cotdistill.records import Question, Step
from cotdistill.tasks.custom import Custom

QUESTIONS = [
    Question("a", "How many?\nAnd\u2028why?", "3", ("x", "y"), "A context.", "So."),
    Question("b", "Half \ud83d of a pair", None, steps=(Step("How?", "1 + 1 = 2", "2"),)),
    Question("c", "Großes 😀", "2", meta={"steps": 2, "big": 2**70 + 1}),
]


def test_questions_come_back_as_often_as_asked_for() -> None:
    found = StoredQuestions(QUESTIONS)
    assert len(found) == 3
    assert list(zip(found, found, strict=True)) == list(zip(QUESTIONS, QUESTIONS, strict=True))
    assert list(found.ids()) == ["a", "b", "c"]
    assert list(StoredQuestions()) == []


def test_longer_than_what_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_BLOCK", 7)
    assert list(StoredQuestions(QUESTIONS)) == QUESTIONS


def test_values_are_looked_up_by_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_LINE", 7)
    values = [("a long text", 1.5, True), {"half": "\ud83d"}, [], "x"]
    found = Stored()
    places = [found.add(value) for value in values]
    found.flush()
    assert [found.at(place) for place in reversed(places)] == ["x", [], values[1], [*values[0]]]


def test_dealt_by_their_places() -> None:
    parts = StoredQuestions(QUESTIONS).dealt({"test": [1], "empty": []}, rest="train")
    assert {name: list(part) for name, part in parts.items()} == {
        "test": QUESTIONS[1:2],
        "empty": [],
        "train": [QUESTIONS[0], QUESTIONS[2]],
    }


@pytest.mark.parametrize(
    ("names", "place"), [("", None), ("abc", None), ("abcb", 3), ("abcab", 3), ("aa", 1)]
)
@pytest.mark.parametrize("alike", [False, True])
def test_the_first_name_that_stands_twice(
    names: str, place: int | None, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if alike:  # all hashes are the same, and names still differ
        monkeypatch.setattr(stored, "_hash", lambda name: 7)
    assert first_repeated(lambda: names) == place


def test_a_full_disk_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("wb"))
    with pytest.raises(StoreError, match=r"No space left on device.*set TMPDIR"):
        StoredQuestions(QUESTIONS[:1])


def test_memory_does_not_grow_with_the_questions_of_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_BLOCK", 2**14)
    peaks = []
    for count in (100, 500, 2000):  # the first imports what is needed
        path = tmp_path / f"{count}.jsonl"
        with path.open("w") as file:
            for n in range(count):
                row = {"question": f"What is {n} + 1? {'Think well. ' * 50}", "answer": n + 1}
                file.write(json.dumps(row) + "\n")
        tracemalloc.start()
        splits = Custom(path=str(path), shares={"train": 0.99, "test": 0.01}).load()
        assert sum(1 for part in splits.values() for _ in part) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The texts of the 1,500 more have 950,000 characters.
    assert peaks[2] - peaks[1] < 250_000

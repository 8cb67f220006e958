"""Curation streams candidates through filters; each comes out, kept or dropped with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType, Filter
from cotdistill.errors import DataError
from cotdistill.filters.answer_match import AnswerMatch
from cotdistill.records import Question, Rationale
from cotdistill.stages.curate import curate_rationales, read_candidates
from cotdistill.util.files import read_jsonl, write_jsonl

QUESTIONS = [Question(f"q/{index}", "How many?", str(index)) for index in range(4)]


class Short(Filter):
    """Drops texts over ten characters."""

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for question, rationale in candidates:
            yield question, rationale, "too long" if len(rationale.text) > 10 else None


def rows() -> list[dict[str, object]]:
    def candidate(
        question: int, text: str, answer: str | None, sample: int = 0
    ) -> dict[str, object]:
        return Rationale(f"q/{question}", text, answer, sample).to_json()

    return [
        {
            "question": "q/0",
            "rationales": [candidate(0, "Nothing.", "0"), candidate(0, "One.", "1", 1)],
        },
        {"question": "q/1", "failed": "rate limit"},
        {
            "question": "q/3",
            "rationales": [
                candidate(3, "Much too long a text.", "3"),
                candidate(3, "None.", None, 1),
            ],
        },
    ]


def test_kept_and_dropped(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rationales.jsonl", rows())
    filters = [("answer_match", AnswerMatch()), ("short", Short())]
    candidates = read_candidates(QUESTIONS, tmp_path / "rationales.jsonl")
    counts = curate_rationales(candidates, filters, Number(), tmp_path)
    assert (counts.questions, counts.candidates, counts.kept, counts.questions_kept) == (3, 4, 1, 1)
    assert counts.failed == {"rate limit": 1}
    assert sum(counts.dropped.values()) == 3
    assert counts.dropped["short: too long"] == 1
    kept = [Rationale.from_json(row) for row in read_jsonl(tmp_path / "kept.jsonl")]
    assert [rationale.text for rationale in kept] == ["Nothing."]
    dropped = list(read_jsonl(tmp_path / "dropped.jsonl"))
    assert [(row["filter"], row["question_id"]) for row in dropped] == [
        ("answer_match", "q/0"),
        ("short", "q/3"),
        ("answer_match", "q/3"),
    ]


class BySample(Filter):
    """Keeps everything, the first samples of all questions before the second ones."""

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for question, rationale in sorted(candidates, key=lambda one: one[1].sample_index):
            yield question, rationale, None


def test_questions_are_counted_once_in_whatever_order_they_come(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rationales.jsonl", rows())
    candidates = read_candidates(QUESTIONS, tmp_path / "rationales.jsonl")
    counts = curate_rationales(candidates, [("by sample", BySample())], Number(), tmp_path)
    assert (counts.kept, counts.questions_kept) == (4, 2)


def test_rows_of_other_questions_are_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rationales.jsonl", [{"question": "other/1", "rationales": []}])
    with pytest.raises(DataError, match="'other/1' is not in the training split"):
        list(read_candidates(QUESTIONS, tmp_path / "rationales.jsonl"))

"""Records convert to JSON and back exactly; wrong rows are named."""

from __future__ import annotations

import json

import pytest

from cotdistill.records import (
    NO_ANSWER,
    Answer,
    Completion,
    Example,
    Question,
    Rationale,
    Record,
    Step,
    Verdict,
)

RECORDS: list[Record] = [
    Question(
        "t/1",
        "How many?",
        "3",
        ("one", "two"),
        "a context",
        "One. Two.",
        (Step("q", "s", "a"),),
        {"k": [1, 2]},
    ),
    Question("t/2", "Why?"),
    Completion("text", 3, "thought", "length", 10, 20, 5, -0.25, "key"),
    Rationale(
        "t/1", "Because.", NO_ANSWER, 2, "teacher", (Step("q", "s", "a"),), ("key",), {"x": 1}
    ),
    Example("student", "prompt", "target", 0.5),
    Example("student", "prompt", "target", extra={"rejected": "other"}),
    Answer(
        "t/1", "3", "so 3", ({"role": "student", "prompt": "p", "text": "t"},), ("3", None), 1, 2, 3
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_json_round_trip(record: Record) -> None:
    assert type(record).from_json(json.loads(json.dumps(record.to_json()))) == record


def test_unknown_field_is_named() -> None:
    with pytest.raises(ValueError, match=r"Question has no field 'qustion'"):
        Question.from_json({"id": "1", "qustion": "?"})


def test_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match="'text'"):
        Question.from_json({"id": "1"})


def test_data_that_is_no_mapping_is_named() -> None:
    with pytest.raises(ValueError, match="Question is a mapping of fields, not str"):
        Question.from_json("Why?")  # type: ignore[arg-type]


def test_verdicts_are_named() -> None:
    assert [verdict.value for verdict in Verdict] == ["correct", "wrong", "no_answer", "error"]

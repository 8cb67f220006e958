"""The majority of samples: votes in any writing of an answer, no verdict on gold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cotdistill
from cotdistill.answers.number import Number
from cotdistill.errors import UserError
from cotdistill.filters.self_consistency import MajorityOfSamples
from cotdistill.records import Question, Rationale
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_jsonl


def reasons(answers: list[str | None], **settings: Any) -> list[str | None]:
    question = Question("q", "3 + 8?", "4")  # gold is not looked at
    pairs = [(question, Rationale("q", "So.", answer)) for answer in answers]
    return [reason for _, _, reason in MajorityOfSamples(**settings).apply(pairs, Number())]


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        (["11", "11.0", "4"], [None, None, "not the majority answer"]),
        (["11", "11", "11", None], [None, None, None, "no answer"]),
        (["11", "11", None, None], ["no majority"] * 2 + ["no answer"] * 2),
        (["11", "4"], ["no majority"] * 2),
        (["11"], ["one sample is no majority"]),
        ([None], ["no answer"]),
    ],
)
def test_the_majority_is_kept(answers: list[str | None], kept: list[str | None]) -> None:
    assert reasons(answers) == kept


def test_agreement_is_the_share_that_must_be_passed() -> None:
    answers: list[str | None] = ["11", "11", "4", "5", "6"]
    assert reasons(answers, agreement=0.3).count(None) == 2
    assert reasons(answers, agreement=0.4).count(None) == 0
    assert reasons(["11", "11", "4", "4"], agreement=0.3).count(None) == 0


def test_questions_vote_apart() -> None:
    pairs = [
        (Question(name, "?"), Rationale(name, "So.", answer))
        for name, answer in [("a", "1"), ("a", "1"), ("b", "2"), ("b", "3")]
    ]
    found = [reason for _, _, reason in MajorityOfSamples().apply(pairs, Number())]
    assert found == [None, None, "no majority", "no majority"]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    bare = [{"question": f"{n} and more?"} for n in range(8)]
    known = [{"question": f"{n} + 1?", "answer": "7"} for n in range(12)]
    lines = "".join(json.dumps(row) + "\n" for row in [*bare, *known])
    (tmp_path / "mixed.jsonl").write_text(lines)
    return {
        "name": "r",
        "task": {"name": "custom", "path": "mixed.jsonl", "unlabelled": True},
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": str(tiny_checkpoint(tmp_path / "base", "gpt2")),
        "methods": [{"name": "fine_tune_cot", "samples": 3, "label": "cot"}],
        "filters": ["self_consistency"],
        "train": {"epochs": 1},
    }


def test_unlabelled_questions_are_learnt_with_the_majority_answer(recipe: dict[str, Any]) -> None:
    result = cotdistill.run(recipe, progress=False)
    rationales = list(result.rationales())
    assert len({row["question_id"] for row in rationales}) == 8 + 8  # 12 labelled: 8, 1 and 3
    (training,) = result.folder.rglob("examples.jsonl")
    targets = [row["target"] for row in read_jsonl(training)]
    assert len(targets) == 16 * 3 and all(one.endswith("--> 7") for one in targets)
    assert {row["n"] for row in result.scores} == {2}


def test_the_report_calls_it_by_its_name(recipe: dict[str, Any]) -> None:
    first = [" So it is.", " It is.", " Never."]
    replies = {"Never.": " The answer is 8.", "it is.": " 7.", "It is.": " 7.", "": first}
    teacher = {"name": "scripted", "replies": replies}
    result = cotdistill.run(recipe, teacher=teacher, progress=False)
    page = (result.folder / "report.md").read_text("utf-8")
    assert "self_consistency: not the majority answer 16" in page.replace("\\", "")


def test_what_cannot_be_compared_is_refused_before_it_is_paid(recipe: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"task mixed: 8 training questions have no answer, and"):
        cotdistill.run(recipe, filters=["answer_match"], progress=False)
    with pytest.raises(UserError, match="mixed/0 has no gold answer, and this method needs one"):
        cotdistill.run(recipe, methods=["answer_only"], progress=False)
    assert not list(Path("runs/r").rglob("rationales.jsonl"))

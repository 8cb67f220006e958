"""The pilot: what stops a run after its first questions, what does not; nothing changes by it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.filters.answer_match import AnswerMatch
from cotdistill.filters.duplicates import Duplicates
from cotdistill.filters.truncated import Truncated
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.model.client import ModelClient
from cotdistill.records import Question, Rationale, Request
from cotdistill.stages._pilot import Pilot, PilotError
from cotdistill.stages.generate import generate_rationales
from cotdistill.teachers.scripted import Scripted

FILTERS = [
    ("answer_match", AnswerMatch()),
    ("truncated", Truncated()),
    ("duplicates", Duplicates()),
]


def candidates(
    make: Callable[[Question, int], Rationale], questions: int = 20, samples: int = 1
) -> list[Any]:
    asked = [Question(f"q/{n}", f"number {n}", str(n)) for n in range(questions)]
    return [(one, [make(one, index) for index in range(samples)]) for one in asked]


def judge(pairs: list[Any]) -> None:
    Pilot("sums · cot", 20, FILTERS).judge(pairs, Number())


def right(question: Question, index: int) -> Rationale:
    return Rationale(question.id, f"so {index}", question.answer)


def wrong(question: Question, index: int) -> Rationale:
    return Rationale(question.id, f"\x1b[31mno {index}", "999")


def test_a_good_or_a_poor_teacher_goes_on() -> None:
    judge(candidates(right))
    judge(candidates(lambda q, i: right(q, i) if q.id == "q/7" else wrong(q, i)))  # 5 % of 20
    judge(candidates(lambda q, i: right(q, 0), samples=64))  # one of 64 is new: no reason to stop
    judge(candidates(wrong, questions=9))  # too few to judge


def test_nothing_kept_stops_with_three_examples_that_are_safe_to_print() -> None:
    with pytest.raises(PilotError) as caught:
        judge(candidates(wrong, samples=8))
    told = str(caught.value)
    assert "of the first 160 rationales (20 questions) none would be kept" in told
    assert "answer_match: wrong answer 160" in told and "`pilot: 0`" in told
    assert told.count("question q/") == 3 and "answer read: 999; gold: 0" in told
    assert "\\x1b[31mno" in told and "\x1b" not in told


def test_cut_replies_and_answers_of_another_type_are_named() -> None:
    def cut(question: Question, index: int) -> Rationale:
        truncated = {"truncated": True} if index < 2 else {}
        return Rationale(question.id, "it goes on", question.answer, extra=truncated)

    with pytest.raises(PilotError, match="40 were cut off at `max_tokens`"):
        judge(candidates(cut, samples=5))
    with pytest.raises(PilotError, match=r"20 have no answer that can be read.*\(Number\)"):
        judge(candidates(lambda q, i: Rationale(q.id, "(B), of course", None)))


def generate(out: Path, replies: Any, pilot: int, count: int = 60) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []

    def reply(request: Request, index: int) -> str:
        seen.append((str(request.prompt), index))
        text: str = replies(request, index)
        return text

    async def main() -> None:
        ask = ModelClient({"teacher": Scripted(replies=reply).open()})
        asked = [Question(f"q/{n}", f"number {n}", str(n)) for n in range(count)]
        stop = Pilot("l", pilot, FILTERS)
        method = FineTuneCot(samples=2, answer_call=False)
        await generate_rationales(asked, method, ask, Number(), out, pilot=stop)

    asyncio.run(main())
    return seen


def echoed(request: Request, index: int) -> str:
    number = str(request.prompt).split("number ")[1].split("\n")[0]
    return f" Sample {index} says so. The answer is {number}."


def test_a_pilot_asks_nothing_twice_and_changes_no_byte(tmp_path: Path) -> None:
    with_pilot = generate(tmp_path / "a.jsonl", echoed, 20)
    without = generate(tmp_path / "b.jsonl", echoed, 0)
    assert sorted(with_pilot) == sorted(without) and len(set(with_pilot)) == 120
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_the_rest_is_not_asked_after_a_bad_pilot_and_pilot_0_goes_on(tmp_path: Path) -> None:
    def lost(request: Request, index: int) -> str:
        return " The answer is 1000."

    with pytest.raises(PilotError):
        generate(tmp_path / "c.jsonl", lost, 20)
    assert not (tmp_path / "c.jsonl").exists()
    assert len(generate(tmp_path / "d.jsonl", lost, 0)) == 120
    # Where there is no rest, nothing is saved by stopping.
    assert len(generate(tmp_path / "e.jsonl", lost, 20, count=20)) == 40
    rows = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text("utf-8").splitlines()]
    assert [row["question"] for row in rows] == [f"q/{n}" for n in range(20)]


def test_only_the_pilot_is_asked_before_it_is_judged(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def lost(request: Request, index: int) -> str:
        seen.append((str(request.prompt), index))
        return " The answer is 1000."

    with pytest.raises(PilotError):
        generate(tmp_path / "f.jsonl", lost, 20)
    assert len(seen) == 40

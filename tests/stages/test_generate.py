"""Generate: order, failures, stopping, nothing held up, nothing asked twice."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.errors import BudgetSpent, DataError, FatalTeacherError
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget
from cotdistill.records import Completion, Question, Rationale, Request
from cotdistill.stages.generate import (
    CUT_AFTER,
    GenerateCounts,
    TooManyCutError,
    generate_rationales,
)
from cotdistill.teachers.scripted import Scripted


class TwoCalls(Method):
    """Asks for a rationale, then for the answer, as Fine-tune-CoT does."""

    samples: int = 1

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        first = await ask(f"Q: {question.text}", samples=self.samples, temperature=0.7)
        made = []
        for completion in first:
            (second,) = await ask(f"{completion.text} So?", max_tokens=8)
            made.append(
                Rationale(question.id, completion.text, second.text, completion.sample_index)
            )
        return made


def questions(count: int) -> Iterator[Question]:
    return (Question(f"q/{n}", f"number {n}", "1") for n in range(count))


def run(
    teacher: Scripted, out: Path, count: int, log: Path | None = None, **settings: Any
) -> tuple[Any, ModelClient]:
    async def main() -> tuple[GenerateCounts, ModelClient]:
        opened = CompletionLog(log) if log else None
        ask = ModelClient({"teacher": teacher.open()}, opened, budget=settings.pop("budget", None))
        method = TwoCalls(samples=settings.pop("samples", 1))
        try:
            return await generate_rationales(
                questions(count), method, ask, AnswerType(), out, **settings
            ), ask
        finally:
            if opened:
                opened.close()

    return asyncio.run(main())


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rows_are_in_question_order_whatever_comes_first(tmp_path: Path) -> None:
    out = tmp_path / "new" / "rationales.jsonl"
    seen: list[int] = []
    counts, _ = run(
        Scripted(replies=("a", "b")), out, 50, max_concurrency=7, on_progress=seen.append, samples=2
    )
    assert counts == GenerateCounts(50, 100)
    assert [row["question"] for row in rows(out)] == [f"q/{n}" for n in range(50)]
    assert rows(out)[3]["rationales"][1]["text"] == "b"
    assert Rationale.from_json(rows(out)[3]["rationales"][1]).sample_index == 1
    assert sum(seen) == 50
    assert sorted(path.name for path in out.parent.iterdir()) == ["rationales.jsonl"]


def test_text_no_file_can_hold_and_numbers_no_json_has_do_not_stop_the_run(tmp_path: Path) -> None:
    class Odd(Method):
        async def annotate(
            self, question: Question, ask: Ask, answer_type: AnswerType
        ) -> list[Rationale]:
            return [Rationale(question.id, "half a pair: \ud83d", None, extra={"big": 2**70})]

    out = tmp_path / "r.jsonl"
    asyncio.run(generate_rationales(questions(2), Odd(), ModelClient({}), AnswerType(), out))
    assert [Rationale.from_json(row["rationales"][0]).text for row in rows(out)] == [
        "half a pair: \ud83d"
    ] * 2
    assert rows(out)[1]["rationales"][0]["extra"] == {"big": 2**70}


def test_where_nothing_is_waited_for_others_have_their_turn(tmp_path: Path) -> None:
    async def main() -> None:
        ask = ModelClient({"teacher": Scripted().open()})
        endless = (Question(str(n), "Is it?") for n in itertools.count())
        job = asyncio.create_task(
            generate_rationales(
                endless, TwoCalls(), ask, AnswerType(), tmp_path / "r.jsonl", max_concurrency=1
            )
        )
        await asyncio.sleep(0.05)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    asyncio.run(main())


def test_failed_questions_are_listed_with_the_reason(tmp_path: Path) -> None:
    teacher = Scripted(faults={"number 3": "question failed"})
    counts, ask = run(teacher, tmp_path / "r.jsonl", 10)
    message = "scripted teacher: told to fail at 'number 3'"
    assert (counts.questions, counts.rationales) == (10, 9)
    assert counts.failures.to_json() == {
        "failed": {"scripted fault": 1},
        "messages": {"scripted fault": message},
        "transient": 0,
    }
    row = {"question": "q/3", "failed": "scripted fault", "message": message}
    assert rows(tmp_path / "r.jsonl")[3] == row
    assert ask.ledger.failed == {"scripted fault": 1}


def test_a_rerun_asks_nothing_and_writes_the_same_bytes(tmp_path: Path) -> None:
    log, out = tmp_path / "log.sqlite", tmp_path / "r.jsonl"
    run(Scripted(replies=("a", "b", "c")), out, 30, log, samples=3, max_concurrency=5)
    before = out.read_bytes()
    _, ask = run(Scripted(replies=("a", "b", "c")), out, 30, log, samples=3, max_concurrency=30)
    assert out.read_bytes() == before
    assert ask.ledger.roles["teacher"].completions == 0


def test_a_slow_question_holds_up_no_other(tmp_path: Path) -> None:
    order: list[str] = []

    class Slow(Method):
        async def annotate(
            self, question: Question, ask: Ask, answer_type: AnswerType
        ) -> list[Rationale]:
            await asyncio.sleep(0.2 if question.id == "q/0" else 0)
            order.append(question.id)
            return []

    out = tmp_path / "r.jsonl"
    ask = ModelClient({"teacher": Scripted().open()})
    asyncio.run(
        generate_rationales(questions(300), Slow(), ask, AnswerType(), out, max_concurrency=4)
    )
    assert order[-1] == "q/0"
    assert [row["question"] for row in rows(out)] == [f"q/{n}" for n in range(300)]


def test_a_fatal_error_stops_the_run_and_keeps_what_arrives(tmp_path: Path) -> None:
    log = tmp_path / "log.sqlite"
    teacher = Scripted(
        replies=lambda request, index: f"{request.prompt} {index}", faults={"number 20": "fatal"}
    )
    with pytest.raises(FatalTeacherError, match="number 20"):
        run(teacher, tmp_path / "r.jsonl", 1000, log, max_concurrency=4)
    assert not (tmp_path / "r.jsonl").exists()
    with CompletionLog(log) as kept:
        prompts = {entry.request["prompt"] for entry in kept.entries()}
    assert {f"Q: number {n}" for n in range(20)} <= prompts
    assert len(prompts) < 60


def test_a_budget_stops_the_run_and_the_next_run_goes_on(tmp_path: Path) -> None:
    log, out = tmp_path / "log.sqlite", tmp_path / "r.jsonl"
    words = Scripted(replies=lambda request, index: f"{request.prompt} {index}", latency_s=0.001)
    with pytest.raises(BudgetSpent, match="tokens"):
        run(words, out, 100, log, max_concurrency=4, budget=Budget(tokens=200))
    with CompletionLog(log) as kept:
        spent = sum(
            entry.completion.prompt_tokens + entry.completion.completion_tokens
            for entry in kept.entries()
        )
    assert 200 <= spent <= 200 + 4 * 20
    counts, ask = run(words, out, 100, log, max_concurrency=4)
    assert counts.questions == 100
    assert ask.ledger.roles["teacher"].from_log > 10


def test_an_interrupt_cancels_what_is_under_way(tmp_path: Path) -> None:
    async def main() -> None:
        ask = ModelClient({"teacher": Scripted(latency_s=60).open()})
        job = asyncio.create_task(
            generate_rationales(questions(10), TwoCalls(), ask, AnswerType(), tmp_path / "r.jsonl")
        )
        await asyncio.sleep(0.05)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_bad_line_among_the_questions_loses_nothing_that_was_asked(tmp_path: Path) -> None:
    def some_bad() -> Iterator[Question]:
        yield from questions(5)
        raise DataError("questions.jsonl:6: no JSON")

    async def main() -> None:
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with ModelClient({"teacher": Scripted(latency_s=0.1).open()}, log) as ask:
                await generate_rationales(
                    some_bad(), TwoCalls(), ask, AnswerType(), tmp_path / "r.jsonl"
                )

    with pytest.raises(DataError, match=r"questions.jsonl:6"):
        asyncio.run(main())
    with CompletionLog(tmp_path / "log.sqlite") as log:
        assert len({entry.request["prompt"] for entry in log.entries()}) == 6


def test_an_error_of_the_program_itself_is_not_swallowed(tmp_path: Path) -> None:
    def broken(request: Request, index: int) -> str:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        run(Scripted(replies=broken), tmp_path / "r.jsonl", 5)


class Verbose:
    """A teacher that the length limit stops in one of `every` rationales."""

    def __init__(self, every: int) -> None:
        self.every, self.asked = every, 0

    def identity(self) -> dict[str, Any]:
        return {"teacher": "verbose"}

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        self.asked += 1
        cut = "answer" not in str(request.prompt) and self.asked % self.every == 0
        reason = "length" if cut else "stop"
        return [Completion("1", index, finish_reason=reason) for index in sample_indices]

    async def close(self) -> None: ...


def test_a_limit_that_cuts_most_rationales_stops_the_run_early(tmp_path: Path) -> None:
    def annotate(teacher: Verbose) -> GenerateCounts:
        ask, out = ModelClient({"teacher": teacher}), tmp_path / "r.jsonl"
        work = generate_rationales(
            questions(400), FineTuneCot(), ask, Number(), out, max_concurrency=4
        )
        return asyncio.run(work)

    always = Verbose(every=1)
    with pytest.raises(TooManyCutError, match="cut off at `max_tokens`; raise it in the method's"):
        annotate(always)
    assert always.asked <= 2 * (CUT_AFTER + 4)
    assert not (tmp_path / "r.jsonl").exists()
    assert annotate(Verbose(every=7)).questions == 400

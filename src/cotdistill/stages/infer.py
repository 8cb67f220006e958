"""Infer: a trained (or prompted) model answers questions; every finished answer survives a kill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from cotdistill.contracts import AnswerType, Ask, Method, Strategy
from cotdistill.errors import QuestionFailed
from cotdistill.records import Answer, Question
from cotdistill.util.concurrency import stream_map
from cotdistill.util.files import append_jsonl, read_records, write_jsonl
from cotdistill.util.progress import Advance

__all__ = ["answer_questions", "answer_stream"]


async def answer_questions(
    questions: Sequence[Question],
    method: Method,
    strategy: Strategy,
    ask: Ask,
    answer_type: AnswerType,
    out: Path,
    *,
    max_concurrency: int = 512,
    advance: Advance | None = None,
) -> int:
    """Answer all questions into `out`, one `Answer` a line in the order of the questions.

    Answers are appended to `<out>.log` as they finish and read back by a second call, which asks only the rest. A
    question whose request failed for good is answered with NO_ANSWER and the failure as its text. Returns how many
    of these failures may pass: the log then stays, without them, and a second call asks them again.
    """
    partial = out.with_name(out.name + ".log")
    out.parent.mkdir(parents=True, exist_ok=True)
    answers = {}
    if partial.exists():
        answers = {
            answer.question_id: answer for answer in read_records(partial, Answer, torn_tail=True)
        }
        write_jsonl(partial, (answer.to_json() for answer in answers.values()))
    waiting = [question for question in questions if question.id not in answers]
    if advance is not None and answers:
        advance(len(answers))
    transient = 0
    with partial.open("a", encoding="utf-8") as log:
        async for answer in answer_stream(
            waiting, method, strategy, ask, answer_type, max_concurrency
        ):
            if _may_pass(answer):
                transient += 1
            else:
                append_jsonl(log, answer.to_json())
            answers[answer.question_id] = answer
            if advance is not None:
                advance(1)
    await asyncio.to_thread(
        write_jsonl, out, (answers[question.id].to_json() for question in questions)
    )
    if not transient:
        partial.unlink()
    return transient


def _may_pass(answer: Answer) -> bool:
    return any(entry.get("transient") for entry in answer.trace)


async def answer_stream(
    questions: Iterable[Question],
    method: Method,
    strategy: Strategy,
    ask: Ask,
    answer_type: AnswerType,
    max_concurrency: int = 512,
) -> AsyncIterator[Answer]:
    """Answers as they finish. Whatever is asked at the same moment for different questions shares a batch."""

    async def solve(question: Question, ask: Ask) -> Answer:
        return await method.solve(question, ask, answer_type)

    async def answer(question: Question) -> Answer:
        try:
            return await strategy.run(solve, question, ask, answer_type)
        except QuestionFailed as error:
            trace = ({"failed": error.reason, "transient": error.transient},)
            return Answer(question.id, None, f"[failed: {error.reason}] {error}", trace)

    async for _, result in stream_map(answer, questions, max_concurrency):
        yield result

"""Infer: a trained (or prompted) model answers questions; every finished answer survives a kill."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

from cotdistill.contracts import AnswerType, Ask, Method, Split, Strategy
from cotdistill.errors import QuestionFailed
from cotdistill.recipe import Entry
from cotdistill.records import Answer, Question
from cotdistill.runs.grid import Cell
from cotdistill.runs.models import open_ask, trained_roles
from cotdistill.runs.run import Run
from cotdistill.stages._failures import Failures
from cotdistill.stages._job import Rows, StageJob
from cotdistill.util.concurrency import run_async, stream_map
from cotdistill.util.files import append_jsonl, read_records, write_jsonl
from cotdistill.util.memory import give_back
from cotdistill.util.progress import Advance


def jobs(run: Run) -> Iterator[StageJob]:
    """Yield one job for each model, split and strategy; the teacher's rows are among them."""
    for cell, split, strategy in run.answered():
        artifact = run.share(run.infer_artifact(cell, split, strategy))
        rows = Rows("answers.jsonl", "question_id", cell.task, split)
        yield StageJob(run, infer, (cell, split, strategy), artifact, rows)


def infer(run: Run, cell: Cell, split: Split, strategy: Entry) -> None:
    """Answer the questions of a split with one model and strategy.

    Raises:
        UserError: the model is not trained yet.
        TeacherError: every question failed.
    """
    artifact = run.share(run.infer_artifact(cell, split, strategy))
    trained = run.train_artifact(cell)
    paths = trained.require("train")["checkpoints"] if cell.method.plugin.rounds else {}
    checkpoints = {role: trained.folder / path for role, path in paths.items()}
    work = artifact.start()
    (work / "scored.jsonl").unlink(missing_ok=True)  # of earlier answers
    questions = list(run.share_of(cell.task, split))
    label = f"{cell.label} · {split} · {strategy.label}"
    started = time.monotonic()

    asks = cell.method.plugin.prompted_role in ("teacher", "guide")

    async def answer() -> Failures:
        models = trained_roles(run, cell.student, checkpoints, strategy.plugin.rules)
        with run.progress.task(f"infer {label}", len(questions)) as advance:

            def noted(count: int = 1, note: str = "") -> None:
                advance(count, note or (run.ledger.line() if asks else ""))

            async with open_ask(run, models, cell.student) as ask:
                return await answer_questions(
                    questions,
                    run.method(cell.task, cell.method),
                    strategy.plugin,
                    ask,
                    cell.task.plugin.answer_type,
                    work / "answers.jsonl",
                    max_concurrency=run.recipe.max_concurrency,
                    advance=noted,
                )

    failures = run_async(answer())
    give_back()
    failures.refuse_all(label, len(questions))
    seconds = time.monotonic() - started
    artifact.complete({"questions": len(questions), **failures.to_json(), "seconds": seconds})
    if failures.counts:
        run.progress.log(failures.line(label, len(questions)))


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
) -> Failures:
    """Answer all questions into `out`, one `Answer` a line in the order of the questions.

    Answers are appended to `<out>.log` as they finish and read back by a second call, which asks
    only the rest. A question whose request failed for good is answered with NO_ANSWER and the
    failure as its text. Transient failures are not in the log: a second call asks them again.
    """
    partial = out.with_name(out.name + ".log")
    out.parent.mkdir(parents=True, exist_ok=True)
    answers = {}
    if partial.exists():
        answers = {one.question_id: one for one in read_records(partial, Answer, torn_tail=True)}
        write_jsonl(partial, (answer.to_json() for answer in answers.values()))
    waiting = [question for question in questions if question.id not in answers]
    if advance is not None and answers:
        advance(len(answers))
    with partial.open("a", encoding="utf-8") as log:
        async for answer in answer_stream(
            waiting, method, strategy, ask, answer_type, max_concurrency
        ):
            if not any(entry.get("transient") for entry in answer.trace):
                append_jsonl(log, answer.to_json())
            answers[answer.question_id] = answer
            if advance is not None:
                advance(1)
    ordered = [answers[question.id] for question in questions]
    await asyncio.to_thread(write_jsonl, out, (answer.to_json() for answer in ordered))
    failures = _failures(ordered)
    if not failures.transient:
        partial.unlink()
    return failures


def _failures(answers: Iterable[Answer]) -> Failures:
    failures = Failures()
    for answer in answers:
        for entry in answer.trace:
            if "failed" in entry:
                error = QuestionFailed(
                    entry["message"], entry["failed"], transient=entry["transient"]
                )
                failures.add(error)
    return failures


async def answer_one(
    question: Question, method: Method, strategy: Strategy, ask: Ask, answer_type: AnswerType
) -> Answer:
    """Answer one question: what evaluation and serving do alike.

    Raises:
        QuestionFailed: a request of it failed for good.
    """

    async def solve(question: Question, ask: Ask) -> Answer:
        return await method.solve(question, ask, answer_type)

    return await strategy.run(solve, question, ask, answer_type)


async def answer_stream(
    questions: Iterable[Question],
    method: Method,
    strategy: Strategy,
    ask: Ask,
    answer_type: AnswerType,
    max_concurrency: int = 512,
) -> AsyncIterator[Answer]:
    """Yield answers as they finish. What is asked at the same moment shares a batch."""

    async def answer(question: Question) -> Answer:
        try:
            return await answer_one(question, method, strategy, ask, answer_type)
        except QuestionFailed as error:
            trace = {
                "failed": error.reason,
                "message": str(error),
                "transient": error.transient,
            }
            return Answer(question.id, None, f"[failed: {error.reason}] {error}", (trace,))

    async for _, result in stream_map(answer, questions, max_concurrency):
        yield result

"""Measuring escalation: student and teacher on the validation split, and one check on test."""

from collections.abc import Sequence

from cotdistill.errors import QuestionFailed, UserError
from cotdistill.evaluation.grid import grade
from cotdistill.evaluation.statistics import wilson
from cotdistill.records import Question, Verdict
from cotdistill.runs.models import open_ask
from cotdistill.runs.run import Run
from cotdistill.serving.choosing import Contender
from cotdistill.serving.escalation import Escalation, Measured, Operating, signal, verdict
from cotdistill.serving.measured import (
    Check,
    Measurement,
    artifact_of,
    measurement,
    table,
    teacher_method,
)
from cotdistill.serving.system import Reply, System
from cotdistill.stages.infer import answer_stream
from cotdistill.strategies.greedy import Greedy
from cotdistill.util.concurrency import run_async, stream_map
from cotdistill.util.files import write_json, write_jsonl, write_text


def measure(run: Run, chosen: Contender) -> Measurement:
    """Ask student and teacher the validation split, once; the teacher's replies are logged.

    Raises:
        UserError: the run has no validation split, or one side is right or wrong every time.
    """
    artifact = artifact_of(run, chosen)
    if artifact.finished:
        return measurement(run, chosen)
    questions = list(run.questions(chosen.cell.task, "validation"))
    if not questions:
        raise UserError(
            f"{run.folder}: task {chosen.cell.task.label} has no validation split, and confidence "
            "is calibrated on nothing else; give it validation questions (`limit.validation`)"
        )
    work = artifact.start()
    with System(run, chosen) as system:
        replies = run_async(_replies(system, questions, run.recipe.max_concurrency))
    teacher = run_async(_teacher_answers(run, chosen, questions))
    answer_type = chosen.cell.task.plugin.answer_type
    measured = [
        Measured(
            question.id,
            signal(reply.answer, reply.completions, answer_type) if reply else None,
            reply is not None and grade(answer_type, question, reply.answer) is Verdict.CORRECT,
            *teacher[question.id],
        )
        for question, reply in zip(questions, replies, strict=True)
    ]
    found = Measurement(artifact, measured)
    write_jsonl(work / "validation.jsonl", (one.to_json() for one in measured))
    write_json(work / "escalation.json", _told(run, chosen, found))
    write_text(work / "escalation.md", table(found, found.points))
    artifact.complete({"questions": len(questions)})
    return found


def check(run: Run, chosen: Contender, found: Measurement, point: Operating) -> Check:
    """Check a threshold on the test split; a threshold that was checked is not checked again.

    The more thresholds are checked the less each check says: all are kept in `checks.json`.
    """
    before = found.checks()
    if (known := next((one for one in before if one.below == point.below), None)) is not None:
        return known
    questions = list(run.questions(chosen.cell.task, "test"))
    rule = Escalation(found.calibration, point.below, teacher_method(run, chosen)[1])
    with System(run, chosen, rule) as system:
        replies = run_async(_replies(system, questions, run.recipe.max_concurrency))
    answer_type, n = chosen.cell.task.plugin.answer_type, len(questions)
    right = sum(
        grade(answer_type, question, reply.answer) is Verdict.CORRECT
        for question, reply in zip(questions, replies, strict=True)
        if reply is not None
    )
    asked = [reply for reply in replies if reply is not None and reply.escalated]
    tokens = sum(reply.teacher_tokens for reply in asked)
    made = Check(
        below=point.below,
        promised=point.accuracy,
        promised_low=point.low,
        promised_high=point.high,
        accuracy=right / n,
        low=wilson(right, n)[0],
        high=wilson(right, n)[1],
        n=n,
        share=len(asked) / n,
        tokens=tokens / n,
        inside=point.low <= right / n <= point.high,
    )
    write_json(found.artifact.folder / "checks.json", [one.to_json() for one in [*before, made]])
    return made


def _told(run: Run, chosen: Contender, found: Measurement) -> dict[str, object]:
    return {
        "system": chosen.to_json(),
        "teacher": {"name": run.recipe.teacher.label, "method": teacher_method(run, chosen)[0]},
        "split": "validation",
        "n": len(found.measured),
        "calibration": found.calibration.to_json(),
        "verdict": verdict(found.points),
        "curve": [one.to_json() for one in found.points],
    }


async def _replies(
    system: System, questions: Sequence[Question], max_concurrency: int
) -> list[Reply | None]:
    """Return a reply to each question, None where a request failed for good."""

    async def reply(question: Question) -> Reply | None:
        try:
            return await system.reply(question)
        except QuestionFailed:
            return None

    made = {
        question.id: reply
        async for question, reply in stream_map(reply, questions, max_concurrency)
    }
    return [made[question.id] for question in questions]


async def _teacher_answers(
    run: Run, chosen: Contender, questions: Sequence[Question]
) -> dict[str, tuple[bool, int]]:
    """Return for each question whether the teacher is right, and the tokens it took."""
    answer_type, method = chosen.cell.task.plugin.answer_type, teacher_method(run, chosen)[1]
    by_id, made = {question.id: question for question in questions}, dict[str, tuple[bool, int]]()
    async with open_ask(run) as ask:
        async for answer in answer_stream(
            questions, method, Greedy(), ask, answer_type, run.recipe.max_concurrency
        ):
            right = grade(answer_type, by_id[answer.question_id], answer) is Verdict.CORRECT
            tokens = answer.prompt_tokens + answer.completion_tokens
            made[answer.question_id] = right, tokens
    return made

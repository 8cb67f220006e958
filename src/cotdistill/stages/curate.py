"""Curate: every candidate rationale goes through the filters: kept, or dropped with a reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.contracts import AnswerType, Filter
from cotdistill.errors import DataError
from cotdistill.recipe import Entry, MethodEntry
from cotdistill.records import Question, Rationale, Record
from cotdistill.runs.run import Run
from cotdistill.stages._job import StageJob
from cotdistill.util.files import append_jsonl, read_jsonl, whole_file, write_jsonl

Candidate = tuple[Question, Rationale]


def jobs(run: Run) -> Iterator[StageJob]:
    """Yield one job for each task and method that trains."""
    for task, method in run.trained():
        artifact = run.curate_artifact(task, method)
        yield StageJob(run, curate, (task, method), artifact)


def curate(run: Run, task: Entry, method: MethodEntry) -> None:
    """Keep a task's rationales that hold; drop the others with a reason.

    Raises:
        UserError: the rationales of this recipe are not generated yet.
    """
    generated = run.generate_artifact(task, method)
    generated.require("generate")
    artifact = run.curate_artifact(task, method)
    counts = curate_rationales(
        run.questions(task, "train"),
        generated.folder / "rationales.jsonl",
        run.filters(method),
        task.plugin.answer_type,
        artifact.start(),
    )
    artifact.complete(counts.to_json())


@dataclass(frozen=True)
class CurationCounts(Record):
    """Counts of one curation: `dropped` by "filter: reason", `failed` by the teacher's failure."""

    questions: int
    candidates: int
    kept: int
    questions_kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)


def curate_rationales(
    questions: Iterable[Question],
    candidates: Path,
    filters: Sequence[tuple[str, Filter]],
    answer_type: AnswerType,
    folder: Path,
) -> CurationCounts:
    """Filter a file of candidates into `kept.jsonl` and `dropped.jsonl` of `folder`.

    Args:
        questions: the training questions, in the order they were asked.
        candidates: the file the generate stage wrote: one row per question, in the same order.
        filters: (name, filter) in the order they apply; a dropped candidate meets no later one.

    Raises:
        DataError: a row of the file belongs to none of the questions.
    """
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    kept_ids: set[str] = set()

    def counted() -> Iterator[Candidate]:
        for question, rationales, failure in _candidates(questions, candidates):
            counts.update(questions=1, candidates=len(rationales))
            failed.update([failure] if failure is not None else [])
            yield from ((question, rationale) for rationale in rationales)

    with whole_file(folder / "dropped.jsonl") as dropped_file:

        def drop(question: Question, rationale: Rationale, name: str, reason: str) -> None:
            dropped[f"{name}: {reason}"] += 1
            row = {"filter": name, "reason": reason, "gold": question.answer, **rationale.to_json()}
            append_jsonl(dropped_file, row)

        def kept() -> Iterator[dict[str, Any]]:
            for _, rationale in filtered(counted(), filters, answer_type, drop):
                kept_ids.add(rationale.question_id)
                yield rationale.to_json()

        count = write_jsonl(folder / "kept.jsonl", kept())
    total = counts["questions"], counts["candidates"], count, len(kept_ids)
    return CurationCounts(*total, dict(dropped.most_common()), dict(failed.most_common()))


def filtered(
    candidates: Iterable[Candidate],
    filters: Sequence[tuple[str, Filter]],
    answer_type: AnswerType,
    drop: Callable[[Question, Rationale, str, str], None],
) -> Iterator[Candidate]:
    """Yield the candidates that pass all filters; `drop` gets each other one, filter and reason."""
    stream: Iterator[Candidate] = iter(candidates)
    for name, one in filters:
        stream = _through(stream, name, one, answer_type, drop)
    return stream


def _candidates(
    questions: Iterable[Question], path: Path
) -> Iterator[tuple[Question, list[Rationale], str | None]]:
    """Yield question, candidates and failure of every row of a `rationales.jsonl`."""
    remaining = iter(questions)
    for row in read_jsonl(path):
        question = next((one for one in remaining if one.id == row["question"]), None)
        if question is None:
            raise DataError(
                f"{path}: question {row['question']!r} is not in the training split; "
                "delete the folder to redo it"
            )
        yield (
            question,
            [Rationale.from_json(item) for item in row.get("rationales", ())],
            row.get("failed"),
        )


def _through(
    stream: Iterator[Candidate],
    name: str,
    one: Filter,
    answer_type: AnswerType,
    drop: Callable[[Question, Rationale, str, str], None],
) -> Iterator[Candidate]:
    for question, rationale, reason in one.apply(stream, answer_type):
        if reason is None:
            yield question, rationale
        else:
            drop(question, rationale, name, reason)

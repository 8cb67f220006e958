"""Curate: every candidate rationale goes through the filters: kept, or dropped with a reason."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.contracts import AnswerType, Filter
from cotdistill.errors import DataError
from cotdistill.recipe import Entry, MethodEntry
from cotdistill.records import Question, Rationale, Record
from cotdistill.runs.run import Run
from cotdistill.stages._job import StageJob
from cotdistill.util.files import read_jsonl, whole_file
from cotdistill.util.progress import Advance

Candidate = tuple[Question, Rationale]
Drop = Callable[[Question, Rationale, str, str], None]

_ANNOUNCED = 64
"""Questions after which progress is told: a bar costs more than a question."""

_UNDER_WAY = 1000
"""Questions whose rationales are between filters at most, where no filter changes their order."""

Candidates = Iterable[tuple[Question, Sequence[Rationale], str | None]]
"""Questions in order, each with its candidates, or with the reason of the teacher's failure."""


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
    path = generated.folder / "rationales.jsonl"
    candidates = read_candidates(run.questions(task, "train"), path)
    filters, answer_type = run.filters(method), task.plugin.answer_type
    label = f"{task.label} · {method.label}"
    with run.progress.task(f"curate {label}", run.digest(task.label, "train")[1]) as advance:
        counts = curate_rationales(
            _announced(candidates, advance), filters, answer_type, artifact.start()
        )
        advance(0, counts.line())
    artifact.complete(counts.to_json())


def _announced(candidates: Candidates, advance: Advance) -> Candidates:
    number = 0
    for number, one in enumerate(candidates, 1):
        yield one
        if number % _ANNOUNCED == 0:
            advance(_ANNOUNCED)
    advance(number % _ANNOUNCED)


@dataclass(frozen=True)
class CurationCounts(Record):
    """Counts of one curation: `dropped` by "filter: reason", `failed` by the teacher's failure."""

    questions: int
    candidates: int
    kept: int
    questions_kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """Return one line for people: how many are kept, and the reasons of most drops."""
        reasons = ", ".join(f"{count:,} {why}" for why, count in list(self.dropped.items())[:3])
        why = f"; dropped: {reasons}" if reasons else ""
        return f"{self.kept:,} of {self.candidates:,} rationales kept{why}"


def curate_rationales(
    candidates: Candidates,
    filters: Sequence[tuple[str, Filter]],
    answer_type: AnswerType,
    folder: Path,
) -> CurationCounts:
    """Filter candidates into `kept.jsonl`, which is there last, and `dropped.jsonl` of `folder`.

    One question's candidates are in memory at a time, however many there are.

    Args:
        filters: (name, filter) in the order they apply; a dropped candidate meets no later one.
    """
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    places: dict[str, int] = {}
    kept_questions, last, in_order = 0, -1, True

    def counted() -> Iterator[Candidate]:
        for question, rationales, failure in candidates:
            counts.update(questions=1, candidates=len(rationales))
            places[question.id] = counts["questions"]
            if len(places) > _UNDER_WAY:
                del places[next(iter(places))]
            failed.update([failure] if failure is not None else [])
            yield from ((question, rationale) for rationale in rationales)

    kept, count = folder / "kept.jsonl", 0
    with whole_file(kept) as kept_file, whole_file(folder / "dropped.jsonl") as dropped_file:

        def drop(question: Question, rationale: Rationale, name: str, reason: str) -> None:
            dropped[f"{name}: {reason}"] += 1
            row = {"filter": name, "reason": reason, "gold": question.answer, **rationale.to_json()}
            dropped_file.write(_line(row))

        for _, rationale in filtered(counted(), filters, answer_type, drop):
            place = places.get(rationale.question_id, -2)
            in_order &= place >= last
            kept_questions += place > last
            last = place
            kept_file.write(_line(rationale.to_json()))
            count += 1
    if not in_order:  # a filter has changed the order: what stands apart can be of one question
        kept_questions = len({row["question_id"] for row in read_jsonl(kept)})
    total = counts["questions"], counts["candidates"], count, kept_questions
    return CurationCounts(*total, dict(dropped.most_common()), dict(failed.most_common()))


def filtered(
    candidates: Iterator[Candidate],
    filters: Sequence[tuple[str, Filter]],
    answer_type: AnswerType,
    drop: Drop,
) -> Iterator[Candidate]:
    """Yield the candidates that pass all filters; `drop` is told of each of the others."""
    for name, one in filters:
        candidates = _through(candidates, name, one, answer_type, drop)
    return candidates


def _line(row: Mapping[str, Any]) -> str:
    """Return a row of a file that appears whole: nothing is gained by a flush after each."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_candidates(questions: Iterable[Question], path: Path) -> Candidates:
    """Yield question, candidates and failure of every row of a `rationales.jsonl`.

    Raises:
        DataError: a row belongs to none of the questions, or not in their order.
    """
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
    drop: Drop,
) -> Iterator[Candidate]:
    for question, rationale, reason in one.apply(stream, answer_type):
        if reason is None:
            yield question, rationale
        else:
            drop(question, rationale, name, reason)

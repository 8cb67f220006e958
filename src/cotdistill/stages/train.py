"""Train: kept rationales become one checkpoint per model role, in as many rounds as the method has.

The role trained last is selected by the accuracy of the whole method on the validation split; roles
before it cannot be scored so, since the method is not complete yet: they keep their last epoch.
Every role can be selected by its loss.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cotdistill.contracts import Engine, Model
from cotdistill.errors import DataError, QuestionFailed
from cotdistill.evaluation.grid import grade
from cotdistill.model.batcher import BatchedModel
from cotdistill.records import Example, Question, Rationale, Verdict
from cotdistill.runs.grid import Cell
from cotdistill.runs.models import open_ask, trained_roles
from cotdistill.runs.run import Run
from cotdistill.runs.store import Artifact
from cotdistill.runs.tracking import tracked, training_name
from cotdistill.stages._job import StageJob
from cotdistill.stages.curate import curate_rationales
from cotdistill.stages.infer import answer_stream
from cotdistill.strategies.greedy import Greedy
from cotdistill.util.concurrency import run_async, stream_map
from cotdistill.util.files import read_records, write_jsonl

Kept = list[tuple[Question, Rationale]]


def jobs(run: Run) -> Iterator[StageJob]:
    """Yield one job for each model that is trained: all its roles and rounds."""
    for cell in run.cells():
        if cell.method.plugin.rounds:
            made, processes = run.train_artifact(cell), cell.method.train.processes
            yield StageJob(run, train, (cell,), made, processes=processes)


def train(run: Run, cell: Cell) -> None:
    """Train every role of the method, round by round; a role that is trained is not trained again.

    Raises:
        UserError: the rationales of this recipe are not curated yet.
        DataError: no example is left to train a role on; the message says where to look.
    """
    curated = run.curate_artifact(cell.task, cell.method)
    curated.require("curate")
    artifact = run.train_artifact(cell)
    work = artifact.start()
    started = time.monotonic()
    questions = {question.id: question for question in run.questions(cell.task, "train")}
    kept = _read_kept(questions, curated.folder / "kept.jsonl")
    checkpoints: dict[str, Path] = {}
    notes: dict[str, Any] = {}
    rounds = run.method(cell.task, cell.method).rounds
    for index, roles in enumerate(rounds):
        folder = work / f"round-{index}" if len(rounds) > 1 else work
        if index > 0:
            kept = _revised(run, cell, questions, kept, checkpoints, index, folder)
        for role in roles:
            trained = Artifact(folder / role, [artifact.fingerprint, index, role])
            if trained.metadata is None:
                last = index == len(rounds) - 1 and role == roles[-1]
                out = trained.start() / "checkpoint"
                with tracked(run, cell, training_name(run, cell, index, role)):
                    made = _train_role(run, cell, index, role, kept, checkpoints, out, last=last)
                trained.complete(made)
            checkpoints[role] = trained.folder / "checkpoint"
            note = role if len(rounds) == 1 else f"{role} (round {index})"
            notes[note] = trained.metadata
    paths = {role: str(path.relative_to(work)) for role, path in checkpoints.items()}
    seconds = time.monotonic() - started
    artifact.complete({"checkpoints": paths, "roles": notes, "seconds": seconds})


def _read_kept(questions: Mapping[str, Question], path: Path) -> Kept:
    kept = read_records(path, Rationale)
    return [(questions[one.question_id].learnt_from(one), one) for one in kept]


def _train_role(
    run: Run,
    cell: Cell,
    index: int,
    role: str,
    kept: Kept,
    earlier: Mapping[str, Path],
    out: Path,
    *,
    last: bool,
) -> dict[str, Any]:
    method, settings = run.method(cell.task, cell.method), cell.method.train
    objective = cell.method.objectives[index]
    validation = list(run.questions(cell.task, run.selection_split(cell.method)))
    examples, held_out = out.with_name("examples.jsonl"), None
    count = _write_examples(
        examples, role, (one for pair in kept for one in method.examples(*pair))
    )
    if not count:
        raise DataError(
            f"{cell.label}: no rationale is left to train {role!r} on; curate/dropped.jsonl has "
            "the reasons: loosen the filters, raise `samples` or `limit.train`"
        )
    if settings.selection == "loss" and not objective.uses_reference:  # gold has nothing to compare
        held_out = out.with_name("validation.jsonl")
        _write_examples(held_out, role, _held_out(run, cell, validation, kept))

    def score(engine: Engine) -> float:
        paths = {name: path for name, path in earlier.items() if name != role}
        models = {**trained_roles(run, cell.student, paths), role: BatchedModel(engine)}
        return run_async(_accuracy(run, cell, validation, models))

    by_accuracy = last and settings.selection in ("accuracy", "oracle_test") and validation
    steps = settings.steps(count)
    with run.progress.task(f"train {cell.label} · {role}", steps) as advance:
        result = cell.student.plugin.train(
            examples,
            out,
            objective=objective,
            settings=settings,
            seed=cell.seed,
            start=earlier.get(role) if objective.uses_reference else None,
            validation=held_out,
            score=score if by_accuracy else None,
            on_progress=advance,
            log=run.progress.log,
        )
    note: dict[str, Any] = result.to_json()
    return note


def _write_examples(path: Path, role: str, examples: Iterable[Example]) -> int:
    return write_jsonl(path, (one.to_json() for one in examples if one.role == role))


def _held_out(run: Run, cell: Cell, validation: Sequence[Question], kept: Kept) -> list[Example]:
    """Return what the gold rationales of the validation split would train.

    Raises:
        DataError: there is no validation split, or a question of it has no rationale though the
            method learns them.
    """
    method = run.method(cell.task, cell.method)
    examples = list[Example]()
    reasoned = any(rationale.source != "none" for _, rationale in kept)
    for question in validation:
        if reasoned and not question.rationale:
            raise DataError(
                f"{cell.label}: `train.selection: loss` needs a gold rationale for every "
                f"validation question and {question.id} has none: select by accuracy, "
                "or take the last epoch"
            )
        gold = Rationale(
            question.id, question.rationale, question.answer, source="gold", steps=question.steps
        )
        examples += method.examples(question, gold)
    if not examples:
        raise DataError(
            f"{cell.label}: `train.selection: loss` needs a validation split, and it is empty"
        )
    return examples


async def _accuracy(
    run: Run, cell: Cell, questions: Sequence[Question], models: Mapping[str, Model]
) -> float:
    answer_type = cell.task.plugin.answer_type
    method = run.method(cell.task, cell.method)
    golds = {question.id: question for question in questions}
    correct = 0
    async with open_ask(run, models, cell.student) as ask:
        async for answer in answer_stream(
            questions, method, Greedy(), ask, answer_type, run.recipe.max_concurrency
        ):
            correct += grade(answer_type, golds[answer.question_id], answer) is Verdict.CORRECT
    return correct / len(questions)


def _revised(
    run: Run,
    cell: Cell,
    questions: Mapping[str, Question],
    kept: Kept,
    checkpoints: Mapping[str, Path],
    index: int,
    folder: Path,
) -> Kept:
    """Return a later round's rationales: asked of the roles trained so far, filtered, on disk."""
    path = folder / "kept.jsonl"
    if not path.exists():
        rationales: dict[str, list[Rationale]] = {}
        for question, rationale in kept:
            rationales.setdefault(question.id, []).append(rationale)
        revised = run_async(_ask_again(run, cell, questions, rationales, checkpoints, index))
        candidates = ((one, revised.get(key, ()), None) for key, one in questions.items())
        filters, answer_type = run.filters(cell.method), cell.task.plugin.answer_type
        curate_rationales(candidates, filters, answer_type, folder)
    return _read_kept(questions, path)


async def _ask_again(
    run: Run,
    cell: Cell,
    questions: Mapping[str, Question],
    rationales: Mapping[str, list[Rationale]],
    checkpoints: Mapping[str, Path],
    index: int,
) -> dict[str, list[Rationale]]:
    method, answer_type = run.method(cell.task, cell.method), cell.task.plugin.answer_type
    models = trained_roles(run, cell.student, checkpoints)
    result: dict[str, list[Rationale]] = {}
    with run.progress.task(f"revise {cell.label} round {index}", len(questions)) as advance:
        async with open_ask(run, models, cell.student) as ask:

            async def revise(question: Question) -> list[Rationale]:
                known = rationales.get(question.id, [])
                try:
                    return await method.revise(question, known, ask, answer_type, index)
                except QuestionFailed:  # counted where it was asked
                    return known

            async for question, revised in stream_map(
                revise, questions.values(), run.recipe.max_concurrency
            ):
                result[question.id] = revised
                advance(1)
    return result

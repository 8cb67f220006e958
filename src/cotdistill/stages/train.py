"""Train: kept rationales become one checkpoint per model role, in as many rounds as the method has.

The role trained last is selected by the accuracy of the whole method on the validation split; roles before it cannot
be scored so, since the method is not complete yet: they keep their last epoch. Every role can be selected by its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotdistill.contracts import AnswerType, Ask, Engine, Filter, Method, Model
from cotdistill.errors import DataError, QuestionFailed
from cotdistill.evaluation.grid import grade
from cotdistill.model.batcher import BatchedModel
from cotdistill.records import Example, Question, Rationale, Verdict
from cotdistill.runs.store import Artifact
from cotdistill.stages.curate import filtered
from cotdistill.stages.infer import answer_stream
from cotdistill.strategies.greedy import Greedy
from cotdistill.util.concurrency import run_async, stream_map
from cotdistill.util.files import read_records, write_jsonl
from cotdistill.util.progress import Progress

if TYPE_CHECKING:
    from cotdistill.students.settings import StudentSettings, TrainSettings

__all__ = ["Trained", "Training", "train_method"]

Kept = list[tuple[Question, Rationale]]
OpenAsk = Callable[[Mapping[str, Model]], AbstractAsyncContextManager[Ask]]
LoadRole = Callable[[Path], Engine]


@dataclass(frozen=True)
class Training:
    """Everything that training one method for one student and seed needs besides the rationales.

    `questions` are all training questions: a later round may ask those again that have kept nothing so far.
    `open_ask` makes an `Ask` of the models of trained roles (and of the teacher); `load_role` loads a checkpoint.
    """

    method: Method
    student: StudentSettings
    settings: TrainSettings
    seed: int
    answer_type: AnswerType
    filters: Sequence[tuple[str, Filter]]
    questions: Sequence[Question]
    validation: Sequence[Question]
    open_ask: OpenAsk
    load_role: LoadRole
    progress: Progress
    label: str
    max_concurrency: int = 512


@dataclass(frozen=True)
class Trained:
    """The checkpoints by role, and what training them took."""

    checkpoints: dict[str, Path]
    metadata: dict[str, Any] = field(default_factory=dict)


def train_method(training: Training, kept: Kept, folder: Path, made_from: str) -> Trained:
    """Train every role of the method, round by round; what an earlier call finished is not trained again.

    Raises:
        DataError: no example is left to train a role on; the message says where to look.
    """
    checkpoints: dict[str, Path] = {}
    metadata: dict[str, Any] = {}
    method = training.method
    for index, roles in enumerate(method.rounds):
        if index > 0:
            kept = _revised(training, kept, checkpoints, folder / f"round-{index}", index)
        examples = [
            example
            for question, rationale in kept
            for example in method.examples(question, rationale)
        ]
        held_out = _validation_examples(training, kept)
        for role in roles:
            artifact = Artifact(
                folder / (f"round-{index}" if len(method.rounds) > 1 else "") / role,
                [made_from, index, role],
            )
            if artifact.metadata is None:
                artifact.start()
                own, validation = (
                    [one for one in all_ if one.role == role] for all_ in (examples, held_out)
                )
                last = index == len(method.rounds) - 1 and role == roles[-1]
                artifact.complete(
                    _train_role(
                        training, role, own, validation, checkpoints, artifact.folder, last=last
                    )
                )
            checkpoints[role] = artifact.folder / "checkpoint"
            metadata[role if len(method.rounds) == 1 else f"{role} (round {index})"] = (
                artifact.metadata
            )
    return Trained(checkpoints, metadata)


def _validation_examples(training: Training, kept: Kept) -> list[Example]:
    """What the gold rationales of the validation split would train, where the epoch is selected by loss.

    Raises:
        DataError: there is no validation split, or a question of it has no rationale though the method learns them.
    """
    if training.settings.selection != "loss":
        return []
    examples = list[Example]()
    reasoned = any(rationale.source != "none" for _, rationale in kept)
    for question in training.validation:
        if reasoned and not question.rationale:
            raise DataError(
                f"{training.label}: `train.selection: loss` needs a gold rationale for every validation question and "
                f"{question.id} has none: select by accuracy, or take the last epoch"
            )
        gold = Rationale(
            question.id, question.rationale, question.answer, source="gold", steps=question.steps
        )
        examples += training.method.examples(question, gold)
    if not examples:
        raise DataError(
            f"{training.label}: `train.selection: loss` needs a validation split, and it is empty"
        )
    return examples


def _train_role(
    training: Training,
    role: str,
    examples: list[Example],
    validation: list[Example],
    earlier: Mapping[str, Path],
    folder: Path,
    *,
    last: bool,
) -> dict[str, Any]:
    from cotdistill.students.train import train_role

    if not examples:
        raise DataError(
            f"{training.label}: no rationale is left to train {role!r} on; curate/dropped.jsonl has the reasons: "
            "loosen the filters, raise `samples` or `limit.train`"
        )

    def score(engine: Engine) -> float:
        models = {
            name: training.load_role(path) for name, path in earlier.items() if name != role
        } | {role: engine}
        return run_async(_validation_accuracy(training, models))

    by_accuracy = (
        last and training.settings.selection in ("accuracy", "oracle_test") and training.validation
    )
    settings = training.settings
    with training.progress.task(
        f"train {training.label} · {role}", settings.steps(len(examples))
    ) as advance:
        result = train_role(
            examples,
            training.student,
            settings,
            folder / "checkpoint",
            training.seed,
            score=score if by_accuracy else None,
            validation_examples=validation,
            on_progress=advance,
            log=training.progress.log,
        )
    return result.to_json()


async def _validation_accuracy(training: Training, engines: Mapping[str, Engine]) -> float:
    models = {role: BatchedModel(engine) for role, engine in engines.items()}
    correct = 0
    async with training.open_ask(models) as ask:
        golds = {question.id: question for question in training.validation}
        stream = answer_stream(
            training.validation,
            training.method,
            Greedy(),
            ask,
            training.answer_type,
            training.max_concurrency,
        )
        async for answer in stream:
            correct += (
                grade(training.answer_type, golds[answer.question_id], answer) is Verdict.CORRECT
            )
    return correct / len(training.validation)


def _revised(
    training: Training, kept: Kept, checkpoints: Mapping[str, Path], folder: Path, index: int
) -> Kept:
    """The rationales for a later round: asked anew of the roles trained so far, filtered again, kept on disk."""
    questions = {question.id: question for question in training.questions}
    path = folder / "kept.jsonl"
    if not path.exists():
        by_question: dict[str, list[Rationale]] = {}
        for question, rationale in kept:
            by_question.setdefault(question.id, []).append(rationale)
        revised = run_async(_ask_again(training, questions, by_question, checkpoints, index))
        dropped: list[dict[str, Any]] = []

        def drop(question: Question, rationale: Rationale, name: str, reason: str) -> None:
            dropped.append(
                {"filter": name, "reason": reason, "gold": question.answer, **rationale.to_json()}
            )

        candidates = (
            (questions[key], rationale) for key in questions for rationale in revised.get(key, ())
        )
        passed = list(filtered(candidates, training.filters, training.answer_type, drop))
        write_jsonl(folder / "dropped.jsonl", dropped)
        write_jsonl(path, (rationale.to_json() for _, rationale in passed))
    return [
        (questions[rationale.question_id], rationale) for rationale in read_records(path, Rationale)
    ]


async def _ask_again(
    training: Training,
    questions: Mapping[str, Question],
    rationales: Mapping[str, list[Rationale]],
    checkpoints: Mapping[str, Path],
    index: int,
) -> dict[str, list[Rationale]]:
    models = {role: BatchedModel(training.load_role(path)) for role, path in checkpoints.items()}
    result: dict[str, list[Rationale]] = {}
    with training.progress.task(
        f"revise {training.label} round {index}", total=len(questions)
    ) as advance:
        async with training.open_ask(models) as ask:

            async def revise(question: Question) -> list[Rationale]:
                try:
                    return await training.method.revise(
                        question, rationales.get(question.id, []), ask, training.answer_type, index
                    )
                except QuestionFailed:  # counted where it was asked
                    return rationales.get(question.id, [])

            async for question, revised in stream_map(
                revise, questions.values(), training.max_concurrency
            ):
                result[question.id] = revised
                advance(1)
    return result

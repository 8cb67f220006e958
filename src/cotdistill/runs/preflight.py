"""Preflight: all that can be checked without the teacher is checked before it is paid.

Splits, exemplars, what methods and strategies need of the data (each is rehearsed with one
question), the roles they ask, keys and prices, trackers, every student (files, weights, tokenizer,
the loss of a tiny batch), the folder and its disk. All problems are told at once, each with its
remedy. What is finished is not checked again.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from cotdistill.contracts import Split, Trial
from cotdistill.errors import (
    CotdistillError,
    DataError,
    StoreError,
    UserError,
)
from cotdistill.model.client import refuse_unpriced
from cotdistill.model.ledger import Budget
from cotdistill.recipe import Entry, MethodEntry
from cotdistill.records import Example
from cotdistill.runs.grid import Cell
from cotdistill.runs.rehearsal import (
    RehearsedAsk,
    gold_reply,
    rehearse_answer,
    rehearse_training,
    rehearsed,
    roles_of,
)
from cotdistill.runs.run import Run
from cotdistill.runs.store import Artifact
from cotdistill.runs.tracking import refuse_missing_tracker
from cotdistill.teachers.local import LocalTeacher
from cotdistill.util.concurrency import run_async

_TINY = (
    Example("student", "What is 3 + 8?", "3 + 8 = 11. --> 11"),
    Example("student", "What is 9 - 2?", "9 - 2 = 7. --> 7"),
)
_COPIES = 7
"""Checkpoints of float32 weights that a training holds on disk at once at most: the best and the
last epoch with two optimizer moments each, and the finished one."""
_LEAST_DISK = 100 * 2**20
"""Bytes that any run may need."""


class PreflightError(UserError):
    """The run cannot end well; the message lists every problem with its remedy."""


def preflight(run: Run, stages: Collection[str]) -> None:
    """Check all that the given stages need and that can be known before they begin.

    Raises:
        PreflightError: one or more problems, all of them in the message.
    """
    problems = []
    for check in _checks(run, stages):
        try:
            check()
        except CotdistillError as error:
            problems += [str(error)] if str(error) not in problems else []
    if len(problems) == 1:
        raise PreflightError(problems[0])
    if problems:
        lines = "".join(f"\n  {number}. {line}" for number, line in enumerate(problems, 1))
        raise PreflightError(f"{len(problems)} problems, found before anything was asked:{lines}")


def _checks(run: Run, stages: Collection[str]) -> Iterator[Callable[[], None]]:
    if not (cells := cells_to_ask(run, stages)):
        return
    for task in run.recipe.tasks:
        yield partial(_check_splits, run, task, stages)
    for cell in {(cell.task.label, cell.method.label): cell for cell in cells}.values():
        yield partial(_check_method, run, cell.task, cell.method, stages)
    for role, entry in (("teacher", run.recipe.teacher), ("guide", run.recipe.guide)):
        if entry is not None:
            yield partial(_check_role, run, role, entry)
    trained = [cell for cell in cells if cell.method.plugin.rounds and "train" in stages]
    if trained:
        for name in dict.fromkeys(one for cell in trained for one in cell.method.train.report_to):
            yield partial(refuse_missing_tracker, name)
        # As JSON, since an objective's entry may be a mapping.
        students = {(one.student.label, one.method.train.model_dump_json()): one for one in trained}
        for cell in students.values():
            yield partial(run.recipe.executor.plugin.check, cell.method.train)
            yield partial(_check_student, run, cell)
    else:
        yield partial(refuse_full_disk, run.work, _LEAST_DISK)


def cells_to_ask(run: Run, stages: Collection[str]) -> list[Cell]:
    """Return the cells of which something is still to be made, where these stages ask a model."""
    if not {"generate", "infer"} & set(stages):
        return []
    return [cell for cell in run.cells() if not _finished(run, cell, stages)]


def _finished(run: Run, cell: Cell, stages: Collection[str]) -> bool:
    made: list[Artifact] = []
    if cell.method.plugin.rounds and "generate" in stages:
        made.append(run.generate_artifact(cell.task, cell.method))
    if cell.method.plugin.rounds and "train" in stages:
        made.append(run.train_artifact(cell))
    if "infer" in stages:
        pairs = itertools.product(run.recipe.evaluate_on, run.recipe.strategies)
        made += [run.infer_artifact(cell, split, strategy) for split, strategy in pairs]
    return all(artifact.finished for artifact in made)


def _check_splits(run: Run, task: Entry, stages: Collection[str]) -> None:
    """Read every split that the run uses; a faulty row or an empty split is found here."""
    splits: set[Split] = {"train"} if "generate" in stages else set()
    if "infer" in stages:
        splits |= set(run.recipe.evaluate_on)
    for split in sorted(splits):
        run.digest(task.label, split)
    if "train" not in stages:
        return
    held_out = run.digest(task.label, "validation")[1]
    for method in run.recipe.methods:
        if method.plugin.rounds and method.train.selection == "loss" and not held_out:
            raise DataError(
                f"task {task.label}: method {method.label} selects by `train.selection: loss` and "
                "the validation split is empty; give the data one, or select: last"
            )


def _check_method(run: Run, task: Entry, entry: MethodEntry, stages: Collection[str]) -> None:
    """Rehearse one question: its method and strategies find what they need in data and recipe.

    Raises:
        UserError: an exemplar, a gold rationale, a gold answer or a role is missing.
    """
    method, answer_type = run.method(task, entry), task.plugin.answer_type
    roles = roles_of(run.recipe, method)
    trains = bool(method.rounds)

    async def rehearse() -> None:
        question = next(run.questions(task, "train"))
        ask = RehearsedAsk(roles, gold_reply(question))
        if trains and "generate" in stages:
            await rehearse_training(method, question, ask, answer_type)
        for split in run.recipe.evaluate_on if "infer" in stages else ():
            question = next(run.questions(task, split))
            for strategy in run.recipe.strategies:
                ask = RehearsedAsk(roles, gold_reply(question))
                await rehearse_answer(method, strategy.plugin, question, ask, answer_type)

    run_async(rehearsed(rehearse()))


def _check_role(run: Run, role: str, entry: Entry) -> None:
    """Look for key, files and price of a model without asking it."""
    if isinstance(entry.plugin, LocalTeacher):
        from cotdistill.checkpoints.loading import load_config

        load_config(entry.plugin.model)  # its weights are read when it is asked
        return
    budget = Budget(money=run.recipe.budget.usd, tokens=run.recipe.budget.tokens)
    model = entry.plugin.open()
    refuse_unpriced(role, model, budget)
    run_async(model.close())


def _check_student(run: Run, cell: Cell) -> None:
    """Load a student, score two examples with it, and look for room on the disk and in memory."""
    found: Trial = cell.student.plugin.trial(_TINY, cell.method.train)
    refuse_full_disk(run.work, _LEAST_DISK + _COPIES * 4 * found.parameters)
    if found.free and found.memory > found.free:
        run.progress.log(
            f"student {cell.student.label}: training holds {found.memory / 1e9:.1f} GB (weights, "
            f"gradients, optimizer; activations not counted) and {found.free / 1e9:.1f} GB are "
            "free; `lora` needs less, and on several GPUs `train.strategy: fsdp`"
        )


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Stop where a folder's disk has less space than that many bytes.

    Raises:
        StoreError: it has; the message says how much is missing.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise StoreError(
            f"{folder}: {free / 1e9:.2f} GB are free and the run may need {needed / 1e9:.2f} GB; "
            "free some space or choose another `output`"
        )

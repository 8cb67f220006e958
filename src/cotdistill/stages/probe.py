"""Probe: the first questions of every task and method are asked, so that an estimate rests on real
replies. The completion log keeps them for the run."""

import itertools
import tempfile
from pathlib import Path

from cotdistill.recipe import Entry, MethodEntry
from cotdistill.runs.grid import Cell
from cotdistill.runs.models import open_ask
from cotdistill.runs.run import Run
from cotdistill.stages.generate import generate_rationales
from cotdistill.stages.infer import answer_stream
from cotdistill.util.concurrency import run_async

PROMPTED = ("teacher", "guide")
"""Roles that a method may ask before anything is trained, and that may cost."""


def probe(run: Run, count: int) -> None:
    """Ask for the first `count` questions what is not finished, within the run's budget.

    Raises:
        TeacherError, BudgetSpent: as in the stages themselves.
    """
    for task, method in run.trained():
        if not run.generate_artifact(task, method).finished:
            run_async(_annotate(run, task, method, count))
    for cell in run.cells():
        if cell.method.plugin.prompted_role in PROMPTED:
            run_async(_answer(run, cell, count))


async def _annotate(run: Run, task: Entry, method: MethodEntry, count: int) -> None:
    label, first = f"{task.label} · {method.label}", run.questions(task, "train")
    with tempfile.TemporaryDirectory() as folder:
        async with open_ask(run) as ask:
            counts = await generate_rationales(
                itertools.islice(first, count),
                run.method(task, method),
                ask,
                task.plugin.answer_type,
                Path(folder) / "rationales.jsonl",
                max_concurrency=run.recipe.max_concurrency,
            )
    counts.failures.refuse_all(label, counts.questions)


async def _answer(run: Run, cell: Cell, count: int) -> None:
    method, answer_type = run.method(cell.task, cell.method), cell.task.plugin.answer_type
    for split, strategy in itertools.product(run.recipe.evaluate_on, run.recipe.strategies):
        first = itertools.islice(run.questions(cell.task, split), count)
        async with open_ask(run, {}, cell.student) as ask:
            async for _ in answer_stream(first, method, strategy.plugin, ask, answer_type):
                pass  # the log has it

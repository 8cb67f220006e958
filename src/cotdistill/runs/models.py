"""The models behind `ask`: trained roles, teacher, guide, and the student before any training."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cotdistill.contracts import Ask, Model, TokenRule
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget
from cotdistill.recipe import Entry
from cotdistill.records import Completion, Prompt
from cotdistill.runs.run import Run


def trained_roles(
    run: Run,
    student: Entry,
    checkpoints: Mapping[str, Path],
    rules: Sequence[TokenRule] = (),
) -> dict[str, Model]:
    """Load trained checkpoints by role, each asked in the student's own prompt format."""
    engine = run.recipe.engine.plugin
    return {
        role: BatchedModel(student.plugin.engine(path, engine), rules=rules)
        for role, path in checkpoints.items()
    }


@asynccontextmanager
async def open_ask(
    run: Run, models: Mapping[str, Model] | None = None, student: Entry | None = None
) -> AsyncIterator[Ask]:
    """Open an `Ask` of the given models; teacher, guide and base are opened when first asked."""
    recipe = run.recipe
    waiting: dict[str, Callable[[], Model]] = {"teacher": recipe.teacher.plugin.open}
    if recipe.guide is not None:
        waiting["guide"] = recipe.guide.plugin.open
    if student is not None:
        base = student.plugin
        waiting["base"] = lambda: BatchedModel(base.engine(None, recipe.engine.plugin))
    budget = Budget(money=recipe.budget.usd, tokens=recipe.budget.tokens)
    path = recipe.completions or run.folder / "completions.sqlite"
    with CompletionLog(path, run=recipe.name) as log:
        try:
            async with ModelClient(models or {}, log, ledger=run.ledger, budget=budget) as client:

                async def ask(
                    prompt: Prompt, *, role: str = "teacher", **settings: Any
                ) -> list[Completion]:
                    if role in waiting:
                        client.add(role, waiting.pop(role)())
                    return await client(prompt, role=role, **settings)

                yield ask
        finally:
            run.ledger.write(run.folder / "ledger.json")

"""The models behind `ask`: trained roles, teacher, guide, and the student before any training."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cotdistill.contracts import Ask, Model, TokenRule
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget, Sums
from cotdistill.model.merging import own_counts
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
    engine = run.engine.plugin
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
        waiting["base"] = lambda: BatchedModel(base.engine(None, run.engine.plugin))
    path, earlier = run.log, None
    if run.shard is not None:
        path, earlier = run.work / "completions.sqlite", run.log
    with CompletionLog(path, run=recipe.name, base=earlier) as log:
        budget = _budget(run)
        try:
            async with ModelClient(
                models or {}, log, ledger=run.ledger, budget=budget, shared=run.shared
            ) as client:

                async def ask(
                    prompt: Prompt, *, role: str = "teacher", **settings: Any
                ) -> list[Completion]:
                    if role in waiting:
                        client.add(role, waiting.pop(role)())
                    return await client(prompt, role=role, **settings)

                yield ask
        finally:
            run.ledger.write(run.work / "ledger.json")


def _budget(run: Run) -> Budget:
    """Return the recipe's budget; of a shard its equal part of what the run itself left over.

    Where workers share their limits, the whole budget is kept for all of them.
    """
    whole = run.budget
    if run.shard is None or run.shared is not None or whole == Budget():
        return whole
    spent, count = Sums(own_counts(run.log, run.recipe.name)), run.shard.count
    money = whole.money and max(0.0, whole.money - spent.money) / count
    tokens = whole.tokens and max(0, whole.tokens - spent.tokens) // count
    return Budget(money=money, tokens=tokens)

"""What the tests of strategies share: a question with a gold solution, and a way to run a strategy
on scripted models."""

import asyncio
from collections.abc import Callable

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import Ask, Method, Strategy
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.model.client import ModelClient
from cotdistill.records import Answer, Question, Step
from cotdistill.teachers.scripted import Scripted

Run = Callable[..., Answer]


@pytest.fixture
def apples() -> Question:
    return Question(
        "q1",
        "Ana has 3 apples, buys 8 more and eats 4. How many?",
        "7",
        rationale="Ana has 3 apples. She buys 8, so 3 + 8 = 11. She eats 4, so 11 - 4 = 7.",
        steps=(
            Step("How many at first?", "Ana has 3 apples.", "3"),
            Step("How many then?", "She buys 8, so 3 + 8 = 11.", "11"),
            Step("How many are left?", "She eats 4, so 11 - 4 = 7.", "7"),
        ),
    )


@pytest.fixture
def run(apples: Question) -> Run:
    """`run(strategy, method=…, student=replies, …)`: the strategy's answer, each role answering by
    its script."""

    def run_strategy(
        strategy: Strategy,
        method: Method | None = None,
        question: Question = apples,
        **replies: object,
    ) -> Answer:
        kind, solver = Number(), method or FineTuneCot()
        models = {
            role: Scripted.model_validate({"replies": script}).open()
            for role, script in replies.items()
        }

        async def solve(question: Question, ask: Ask) -> Answer:
            return await solver.solve(question, ask, kind)

        return asyncio.run(strategy.run(solve, question, ModelClient(models), kind))

    return run_strategy

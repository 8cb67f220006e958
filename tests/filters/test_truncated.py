import asyncio
from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import Method
from cotdistill.filters.truncated import Truncated
from cotdistill.plugins import build
from cotdistill.records import Completion, Question, Rationale

QUESTION = Question("q", "How many apples?", "3")
METHODS = ["fine_tune_cot", "tslm", "socratic_cot", "sci_cot", "step_by_step"]


def reasons(*rationales: Rationale) -> list[str | None]:
    candidates = [(QUESTION, rationale) for rationale in rationales]
    return [reason for *_, reason in Truncated().apply(candidates, Number())]


def test_gold_rationales_and_none_at_all_pass() -> None:
    gold = Rationale("q", "It is 3.", "3", source="gold")
    assert reasons(gold, Rationale("q", "", "3", source="none")) == [None, None]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("ended", "reason"), [("length", "truncated"), ("stop", None)])
def test_every_method_says_which_replies_the_limit_cut_off(
    name: str, ended: str, reason: str | None
) -> None:
    """The right answer does not save one: its text ends in the middle."""

    async def ask(prompt: Any, **settings: Any) -> list[Completion]:
        if str(prompt).endswith("the answer is"):
            return [Completion(" 3.")]
        return [Completion("How many? ** It is 3. The answer is 3. So she", finish_reason=ended)]

    method = build("methods", name, Method)
    (rationale,) = asyncio.run(method.annotate(QUESTION, ask, Number()))
    assert rationale.text
    assert reasons(rationale) == [reason]

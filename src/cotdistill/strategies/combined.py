"""Several strategies at once: voting over solutions that a calculator checks, a first step with a calculator behind it.

    strategies:
      - {name: combined, of: [calculator, {name: self_consistency, n: 8}], label: vote with calculator}

The first is the outermost: it wraps the asks of those behind it, and what it calls `solve` is the next one. So a calculator goes
first (every sampled solution is calculated), and what asks several times goes before what should happen each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from cotdistill import plugins
from cotdistill.contracts import AnswerType, Ask, Solve, Strategy, TokenRule
from cotdistill.records import Answer, Question

__all__ = ["Combined"]


class Combined(Strategy):
    """Several strategies, each around the next."""

    of: tuple[dict[str, Any], ...] = Field(
        min_length=2, description="names, or names with settings, the outermost first"
    )

    @field_validator("of", mode="before")
    @classmethod
    def _with_all_settings(cls, entries: Any) -> Any:
        if not isinstance(entries, list | tuple) or not all(
            isinstance(one, str | Mapping) for one in entries
        ):
            raise ValueError(
                "give a list of strategies, for example [calculator, {name: self_consistency, n: 8}]"
            )
        return [
            {
                "name": one if isinstance(one, str) else one.get("name"),
                **_build(one).model_dump(mode="json"),
            }
            for one in entries
        ]

    @property
    def rules(self) -> tuple[TokenRule, ...]:
        return tuple(rule for one in self.of for rule in _build(one).rules)

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        for one in reversed(self.of):
            solve = _around(_build(one), solve, answer_type)
        return await solve(question, ask)


def _build(entry: str | Mapping[str, Any]) -> Strategy:
    return plugins.build("strategies", entry, Strategy)


def _around(strategy: Strategy, solve: Solve, answer_type: AnswerType) -> Solve:
    async def wrapped(question: Question, ask: Ask) -> Answer:
        return await strategy.run(solve, question, ask, answer_type)

    return wrapped

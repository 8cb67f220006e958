"""Several strategies at once: voting over calculated solutions, a guide's step and a calculator.

    strategies:
      - {name: combined, of: [calculator, {name: self_consistency, n: 8}], label: calculated vote}

The first is the outermost: it wraps the asks of those behind it, and what it calls `solve` is the
next one. So a calculator goes first (every sampled solution is calculated), and what asks several
times goes before what should happen each time.
"""

from functools import partial
from typing import Any

from pydantic import Field, field_validator

from cotdistill import plugins
from cotdistill.contracts import AnswerType, Ask, Solve, Strategy, TokenRule
from cotdistill.records import Answer, Question


class Combined(Strategy):
    """Several strategies, each around the next."""

    of: tuple[dict[str, Any], ...] = Field(
        min_length=2, description="names, or names with settings, the outermost first"
    )

    @field_validator("of", mode="before")
    @classmethod
    def _with_all_settings(cls, entries: Any) -> Any:
        """Fill in defaults, so that a name and the same name with its defaults are one strategy."""
        if not isinstance(entries, list | tuple):
            example = "[calculator, {name: self_consistency, n: 8}]"
            raise ValueError(f"give a list of strategies, for example {example}")
        given = plugins.as_entries(entries)
        named = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in given]
        return [{**entry, **_build(entry).model_dump(mode="json")} for entry in named]

    @property
    def rules(self) -> tuple[TokenRule, ...]:
        return tuple(rule for entry in self.of for rule in _build(entry).rules)

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        for entry in reversed(self.of):
            solve = partial(_build(entry).run, solve, answer_type=answer_type)
        return await solve(question, ask)


def _build(entry: dict[str, Any]) -> Strategy:
    return plugins.build("strategies", entry, Strategy)

"""What a run spent: requests, tokens and money, what came from the log instead, what failed and why.

`ledger.json` in the run folder is `Ledger.to_json`. With n samples of one call the prompt is paid, and counted, once.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import BudgetSpent
from cotdistill.model.pricing import Price
from cotdistill.records import Completion

__all__ = ["Budget", "Ledger", "Spent"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend at most: US dollars and/or tokens (prompt and completion together)."""

    money: float | None = None
    tokens: int | None = None


@dataclass(slots=True)
class Spent:
    """Counts of one role."""

    completions: int = 0
    from_log: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_from_log: int = 0
    money: float = 0.0
    priced: bool = False
    local: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "completions": self.completions,
            "from_log": self.from_log,
            "prompt_tokens": self.prompt_tokens,
            "cached_prompt_tokens": self.cached_prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "tokens_from_log": self.tokens_from_log,
            "money": round(self.money, 8) if self.priced else None,
        }


@dataclass(slots=True)
class Ledger:
    """Adds up what one run spends. `events` counts requests, retries by class and the like, as the teacher reports them."""

    roles: dict[str, Spent] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.time)

    def paid(
        self,
        role: str,
        completions: Sequence[Completion],
        price: Price | None = None,
        *,
        local: bool = False,
    ) -> None:
        """Count completions that a model wrote just now. A `local` student's are counted, but spend no budget."""
        spent = self._spent(role)
        spent.local = local
        for completion in completions:
            spent.completions += 1
            spent.prompt_tokens += completion.prompt_tokens
            spent.cached_prompt_tokens += completion.cached_prompt_tokens
            spent.completion_tokens += completion.completion_tokens
            if price is not None:
                spent.priced = True
                spent.money += price.cost(
                    completion.prompt_tokens,
                    completion.cached_prompt_tokens,
                    completion.completion_tokens,
                )

    def saved(self, role: str, completions: Collection[Completion]) -> None:
        """Count completions that were in the log already."""
        spent = self._spent(role)
        spent.from_log += len(completions)
        spent.tokens_from_log += sum(c.prompt_tokens + c.completion_tokens for c in completions)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens paid in this run, all roles but local students."""
        return sum(
            s.prompt_tokens + s.completion_tokens for s in self.roles.values() if not s.local
        )

    @property
    def money(self) -> float:
        """US dollars spent in this run, as far as prices are known."""
        return sum(spent.money for spent in self.roles.values())

    def check(self, budget: Budget) -> None:
        """Raise BudgetSpent when the budget is used up. Called before every request is sent."""
        if budget.money is not None and self.money >= budget.money:
            raise BudgetSpent(_stopped(f"${self.money:.4f} of ${budget.money:.4f}"))
        if budget.tokens is not None and self.tokens >= budget.tokens:
            raise BudgetSpent(_stopped(f"{self.tokens:,} of {budget.tokens:,} tokens"))

    def seconds_left(self, done: int, total: int) -> float | None:
        """Time to the end at the pace so far, or None before the first is done."""
        elapsed = time.time() - self.started
        return elapsed * (total - done) / done if done else None

    def line(self) -> str:
        """Tokens and money so far, short enough to stand beside a progress bar."""
        money = f", ${self.money:.4f}" if any(spent.priced for spent in self.roles.values()) else ""
        return f"{self.tokens:,} tokens{money}"

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": round(time.time() - self.started, 3),
            "tokens": self.tokens,
            "money": round(self.money, 8),
            "roles": {role: spent.to_json() for role, spent in sorted(self.roles.items())},
            "events": dict(sorted(self.events.items())),
            "failed": dict(sorted(self.failed.items())),
        }

    def write(self, path: Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write `ledger.json`, replacing an older one in one step."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(
            json.dumps({**self.to_json(), **(extra or {})}, indent=1) + "\n", "utf-8"
        )
        partial.replace(path)

    def _spent(self, role: str) -> Spent:
        spent = self.roles.get(role)
        if spent is None:
            spent = self.roles[role] = Spent()
        return spent


def _stopped(amount: str) -> str:
    return f"the budget is used up ({amount}); everything that arrived is kept; raise `budget` and run again to go on"

"""The spending of a run over all its calls and processes: tokens, money, events, failures by
reason.

The sums lie in the completion log, added up in the transactions that keep what was paid for, so
that a killed call is counted too. `ledger.json` in the run folder is `Ledger.to_json`. With n
samples of one call the prompt is paid, and counted, once.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cotdistill.contracts import Places, Price, Rate, Usage
from cotdistill.errors import BudgetSpent
from cotdistill.model.completion_log import CompletionLog, Counts, Reserved
from cotdistill.model.limits import ConcurrencyLimiter, RateLimiter
from cotdistill.records import Completion
from cotdistill.util.files import write_json


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a run's spending: US dollars and/or tokens (prompt and completion together)."""

    money: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums of one role.

    `seconds` are those of the `calls` that were answered, added up; of a model that answers batches
    here, the seconds in which it was at work.
    `lost_tokens` may have been used by requests under way at a kill. `free` is not 0 for a role
    that nobody is paid for (a student of one's own).
    """

    completions: int = 0
    calls: int = 0
    seconds: float = 0.0
    from_log: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_tokens: int = 0
    lost_tokens: int = 0
    tokens_from_log: int = 0
    money: float | None = None
    free: int = 0

    @property
    def tokens(self) -> int:
        """All tokens that were paid for."""
        return self.prompt_tokens + self.completion_tokens + self.lost_tokens


_FRACTIONS = ("money", "seconds")
_EVENTS, _FAILED = "*events", "*failed"
"""Names no role has."""


class Sums:
    """Sums by role and name, and what is made of them."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts

    @property
    def roles(self) -> dict[str, Spent]:
        """Return the spending of each role."""
        found: dict[str, dict[str, Any]] = {}
        for (role, name), value in sorted(self.counts.items()):
            if role not in (_EVENTS, _FAILED):
                found.setdefault(role, {})[name] = value if name in _FRACTIONS else round(value)
        return {role: Spent(**values) for role, values in found.items()}

    @property
    def events(self) -> Counter[str]:
        """Counts of requests, retries by class and the like, as teachers report them."""
        return self._named(_EVENTS)

    @property
    def failed(self) -> Counter[str]:
        """Requests that failed for good, by reason."""
        return self._named(_FAILED)

    @property
    def tokens(self) -> int:
        """Tokens that were paid for, all roles but local students."""
        return sum(spent.tokens for spent in self.roles.values() if not spent.free)

    @property
    def money(self) -> float:
        """Return US dollars, as far as prices are known."""
        return sum(spent.money or 0.0 for spent in self.roles.values())

    def _named(self, kind: str) -> Counter[str]:
        return Counter({name: int(n) for (role, name), n in self.counts.items() if role == kind})


class Ledger(Sums):
    """The spending of this process (the properties) and of the whole run (`total`)."""

    def __init__(self) -> None:
        super().__init__(defaultdict(float))
        self._before: Counts = defaultdict(float)
        self._log: CompletionLog | None = None
        self._began = time.time()

    def follow(self, log: CompletionLog) -> None:
        """Go on from the sums in a log, those of other processes included, and add to them."""
        self._log, self._before = log, log.read_counts()
        for counts, sign in ((log.counts, 1), (self.counts, -1)):
            for place, value in counts.items():
                self._before[place] += sign * value

    @property
    def total(self) -> Sums:
        """The sums of all calls of the run, this one included."""
        total = self._before.copy()
        for place, value in self.counts.items():
            total[place] += value
        return Sums(total)

    def add(self, role: str, **values: float) -> None:
        """Add to the sums of a role."""
        for name, value in values.items():
            self._add(role, name, value)

    def event(self, name: str, times: int = 1) -> None:
        """Count requests, retries or the like."""
        self._add(_EVENTS, name, times)

    def fail(self, reason: str) -> None:
        """Count a request that failed for good."""
        self._add(_FAILED, reason, 1)

    def book(self, role: str, usage: Usage, price: Price | None) -> None:
        """Add what one call used."""
        tokens = usage.prompt_tokens + usage.completion_tokens
        self._add(role, "prompt_tokens", usage.prompt_tokens)
        self._add(role, "completion_tokens", usage.completion_tokens)
        self._add(role, "cached_prompt_tokens", usage.cached_prompt_tokens)
        self._add(role, "estimated_tokens", tokens if usage.estimated else 0)
        if price is not None:
            self._add(role, "money", price.cost(usage))

    def saved(self, role: str, completions: Collection[Completion]) -> None:
        """Add completions that were in the log already."""
        tokens = sum(c.prompt_tokens + c.completion_tokens for c in completions)
        self.add(role, from_log=len(completions), tokens_from_log=tokens)

    def line(self) -> str:
        """Return the run's requests, tokens and money, short enough to stand beside a bar."""
        total = self.total
        roles = total.roles.values()
        requests = total.events["requests"] or sum(one.calls for one in roles if not one.free)
        priced = any(spent.money is not None for spent in roles)
        money = f", ${total.money:.4f}" if priced else ""
        return f"{requests:,} requests, {total.tokens:,} tokens{money}"

    def to_json(self) -> dict[str, Any]:
        """Return the run's sums as `ledger.json` has them; `seconds` are those of this process."""
        total = self.total
        return {
            "seconds": round(time.time() - self._began, 3),
            "tokens": total.tokens,
            "money": round(total.money, 8),
            "roles": {role: asdict(spent) for role, spent in total.roles.items()},
            "events": dict(total.events),
            "failed": dict(total.failed),
        }

    def write(self, path: Path) -> None:
        """Write `ledger.json`, whole or not at all."""
        write_json(path, self.to_json())

    def _add(self, role: str, name: str, value: float) -> None:
        if value or name == "money":
            place = role, name
            self.counts[place] += value
            if self._log is not None:
                self._log.counts[place] += value


class RoleMeter:
    """Books the calls of one role; with a budget, lets a call begin only where it fits.

    A call is reserved at its largest price before it is sent: prompt by characters, reply by
    `max_tokens`, both scaled by the worst that a reply has cost so far. Until a first reply has
    shown how the endpoint counts, one call is under way at a time. A call that does not fit waits
    for those under way, of all processes, and is sent alone if anything is left: so a budget is
    never passed by more than one call's price.
    """

    def __init__(
        self, ledger: Ledger, log: CompletionLog, role: str, price: Price | None, budget: Budget
    ) -> None:
        self.answered_before = False
        self._ledger, self._log, self._role = ledger, log, role
        self._price, self._budget = price, budget
        self._limited = budget.money is not None or budget.tokens is not None
        self._turn = asyncio.Lock()
        self._most: dict[int, tuple[int, float]] = {}
        self._worst: tuple[float, float] | None = None

    async def reserve(self, most: Usage) -> int:
        """See `contracts.Meter`."""
        if not self._limited:
            return 0
        tokens = most.prompt_tokens + most.completion_tokens
        money = self._price.cost(most) if self._price is not None else 0.0
        async with self._turn:  # first come, first served; only one looks whether it fits
            while True:
                scale = self._worst or (1.0, 1.0)
                wanted = round(tokens * scale[0]), money * scale[1]
                id = await self._log.reserve(self._role, *wanted, self._fits)
                if id is not None:
                    self._most[id] = tokens, money
                    return id
                await asyncio.sleep(0.02)

    def _fits(self, spent: Counts, held: Reserved, tokens: int, money: float) -> bool:
        if self._worst is None:  # what another process knows of the endpoint is better than nothing
            tokens, money = max(tokens, held.largest_tokens), max(money, held.largest_money)
        sums = Sums(spent)
        used, dollars = sums.tokens, sums.money
        fits = held.requests == 0 or self._worst is not None or not self._most
        for limit, so_far, more, shown in (
            (self._budget.tokens, used, held.tokens + tokens, "{:,.0f} of {:,} tokens"),
            (self._budget.money, dollars, held.money + money, "${:.4f} of ${:.4f}"),
        ):
            if limit is None:
                continue
            if so_far >= limit:
                raise BudgetSpent(
                    f"the budget is used up ({shown.format(so_far, limit)}); everything that"
                    " arrived is kept; raise `budget` and run again to go on"
                )
            fits = fits and (so_far + more <= limit or held.requests == 0)
        return fits

    def settle(self, reservation: int, usage: Usage | None, seconds: float = 0.0) -> None:
        """See `contracts.Meter`."""
        if usage is not None:
            self._ledger.add(self._role, calls=1, seconds=seconds)
            self._ledger.book(self._role, usage, self._price)
        if reservation:
            tokens, money = self._most.pop(reservation)
            if usage is not None:
                cost = self._price.cost(usage) if self._price is not None else 0.0
                used = usage.prompt_tokens + usage.completion_tokens
                worst = self._worst or (1.0, 1.0)
                ratios = used / max(tokens, 1), cost / money if money else 0.0
                self._worst = max(worst[0], ratios[0]), max(worst[1], ratios[1])
            self._log.settle(reservation)

    def limits(
        self,
        endpoint: str,
        places: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
    ) -> tuple[Places, Rate]:
        """See `contracts.Meter`; the limits of this process alone."""
        return ConcurrencyLimiter(places), RateLimiter(requests_per_minute, tokens_per_minute)

    def count(self, event: str) -> None:
        """See `contracts.Meter`."""
        self._ledger.event(event)

    def note(self, name: str, value: Any) -> None:
        """See `contracts.Meter`."""
        self._log.note(name, value)

    def notes(self, prefix: str) -> dict[str, Any]:
        """See `contracts.Meter`."""
        return self._log.notes(prefix)

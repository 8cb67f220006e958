"""Shares an endpoint's limits, the budget and the progress of a run out among its workers.

One `Keeper` serves all workers of a run. A worker tells it several times a second how many requests
it has under way and waiting, and is told its share (`sharing.SharedLimits`); so a request costs no
call, unless there is a budget. What is shared out never exceeds the whole: a share given up by one
worker goes to another only after the first has said so.

A worker that is silent for `SILENT_S` is taken for dead. Its places are given to others, and what
it had reserved counts as spent: the endpoint may have answered.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cotdistill.contracts import Price, Usage
from cotdistill.model.completion_log import CompletionLog, Counts
from cotdistill.model.ledger import Budget, Ledger, RoleMeter
from cotdistill.model.limits import ConcurrencyLimiter

SILENT_S = 15.0


@dataclass(frozen=True)
class Demand:
    """The requests and limit of one worker at an endpoint, and the replies since last time."""

    most: int
    under_way: int = 0
    waiting: int = 0
    answered: int = 0
    congested: int = 0

    @property
    def requests(self) -> int:
        return self.under_way + self.waiting


@dataclass(frozen=True)
class Share:
    """A worker's share: requests under way, and the fraction of the rates."""

    places: int = 0
    rate: float = 0.0


@dataclass
class _SharedEndpoint:
    limiter: ConcurrencyLimiter
    wanted: dict[str, Demand] = field(default_factory=dict)
    told: dict[str, Share] = field(default_factory=dict)
    """The share that each worker goes by until it is told another."""
    given: dict[str, Share] = field(default_factory=dict)
    """What each worker may have until it reports again, for the others to keep clear of."""

    def share(self, worker: str, wanted: Demand) -> Share:
        """Return the worker's new share of what the others have not got."""
        for _ in range(wanted.congested):
            self.limiter.adapt(congested=True)
        for _ in range(wanted.answered):
            self.limiter.adapt(answered=True)
        self.wanted[worker] = wanted
        others = [share for name, share in self.given.items() if name != worker]
        free = int(self.limiter.limit) - sum(share.places for share in others)
        fair = even(int(self.limiter.limit), {k: one.requests for k, one in self.wanted.items()})
        places = max(0, min(fair[worker], free))
        active = sum(one.requests > 0 for one in self.wanted.values())
        left = 1.0 - sum(share.rate for share in others)
        rate = max(0.0, min(1.0 / active, left)) if wanted.requests else 0.0
        before = self.told.get(worker, Share())
        # It goes by its last share until this one reaches it, and holds what is under way.
        held = max(places, before.places, wanted.under_way)
        self.given[worker] = Share(held, max(rate, before.rate))
        self.told[worker] = Share(places, rate)
        return self.told[worker]

    def forget(self, worker: str) -> None:
        for one in (self.wanted, self.told, self.given):
            one.pop(worker, None)


def even(limit: int, demands: Mapping[str, int]) -> dict[str, int]:
    """Share a limit out evenly: nobody gets less so that another gets more than it asks for.

    What nobody asks for is shared out too: demand may rise before the next share.
    """
    shares, left = {}, limit
    for place, name in enumerate(sorted(demands, key=lambda one: (demands[one], one))):
        # Rounded up, so that a limit below the number of workers still goes to some.
        shares[name] = min(demands[name], -(-left // (len(demands) - place)))
        left -= shares[name]
    return {name: share + left // len(demands) for name, share in shares.items()}


class Keeper:
    """Limits, budget and progress of one run. Use it in one event loop.

    Args:
        spent: the run's sums so far.
    """

    def __init__(
        self,
        budget: Budget,
        spent: Mapping[tuple[str, str], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget, self._spent, self._clock = budget, spent, clock
        self._endpoints: dict[str, _SharedEndpoint] = {}
        self._heard: dict[str, float] = {}
        self._heard_last = self._clock()
        self._held: defaultdict[str, dict[int, tuple[str, Usage]]] = defaultdict(dict)
        self._meters: dict[str, RoleMeter] = {}
        self._done: Counts = defaultdict(float)
        self._lines: list[str] = []

    async def exchange(self, worker: str, wanted: Mapping[str, Demand]) -> dict[str, Share]:
        """Return a worker's shares by endpoint, given what it wants of each."""
        self._heard[worker] = self._heard_last = now = self._clock()
        for name, at in list(self._heard.items()):
            if now - at > SILENT_S:
                await self.leave(name)
        for url, one in wanted.items():
            if url not in self._endpoints:
                self._endpoints[url] = _SharedEndpoint(ConcurrencyLimiter(one.most))
        return {url: self._endpoints[url].share(worker, one) for url, one in wanted.items()}

    async def reserve(self, worker: str, role: str, most: Usage, price: Price | None) -> int:
        """Reserve what a call may cost at most (see `contracts.Meter`).

        Raises:
            BudgetSpent: it fits no more.
        """
        if role not in self._meters:
            self._meters[role] = RoleMeter(*self._books, role, price, self._budget)
        id = await self._meters[role].reserve(most)
        self._held[worker][id] = role, most
        return id

    @cached_property
    def _books(self) -> tuple[Ledger, CompletionLog]:
        """A ledger that goes on from `spent`; made where it is used, in the event loop's thread."""
        ledger, log = Ledger(), CompletionLog()
        log.counts.update(self._spent)
        ledger.follow(log)
        return ledger, log

    async def settle(self, worker: str, id: int, usage: Usage | None) -> None:
        """End a reservation with what the call really used; None where it was not charged."""
        role, _ = self._held[worker].pop(id, ("", None))
        if role:  # else the worker was taken for dead meanwhile, and this was booked
            self._meters[role].settle(id, usage)

    async def leave(self, worker: str) -> None:
        """Give back all that a worker has; what it had reserved counts as spent."""
        self._heard.pop(worker, None)
        for endpoint in self._endpoints.values():
            endpoint.forget(worker)
        for id, (role, most) in self._held.pop(worker, {}).items():
            self._meters[role].settle(id, most)

    async def advance(self, label: str, count: int) -> None:
        """Count what a worker has done."""
        self._done["done", label] += count

    async def log(self, line: str) -> None:
        """Keep a line for the user."""
        self._lines.append(line)

    async def read(self) -> tuple[dict[str, int], list[str], float]:
        """Return how much was done by label, the lines since the last call, and for how many
        seconds no worker was heard."""
        lines, self._lines = self._lines, []
        done = {label: int(count) for (_, label), count in self._done.items()}
        return done, lines, self._clock() - self._heard_last

    async def call(self, name: str, *arguments: Any) -> Any:
        """Call a method by its name: what a worker in another process can send."""
        methods: dict[str, Callable[..., Any]] = {
            one.__name__: one
            for one in (
                self.exchange,
                self.reserve,
                self.settle,
                self.leave,
                self.advance,
                self.log,
                self.read,
            )
        }
        return await methods[name](*arguments)

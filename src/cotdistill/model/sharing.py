"""A worker's side of the limits that all workers of a run share (`keeper.Keeper`).

Requests take places and turns in this process, as `limits` has it; how many there are is what the
keeper said last. Several times a second the worker reports and is told anew. Nothing is sent before
the first share has come.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from cotdistill.contracts import Places, Price, Rate, Usage
from cotdistill.errors import CotdistillError, StoreError
from cotdistill.model.keeper import SILENT_S, Demand, Share
from cotdistill.model.ledger import RoleMeter
from cotdistill.model.limits import ConcurrencyLimiter

EXCHANGE_S = 0.1
"""Seconds between two reports to the keeper."""

Ask = Callable[..., Awaitable[Any]]
"""Calls a method of the keeper by its name, and returns its reply."""


class SharedPlaces(ConcurrencyLimiter):
    """At most as many requests under way as the keeper gave; what replies signal, it decides on."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.limit, self._answered, self._congested = 0.0, 0, 0
        self._failure: CotdistillError | None = None

    async def acquire(self) -> None:
        if self._failure is not None:
            raise self._failure
        await super().acquire()

    def adapt(self, *, answered: bool = False, congested: bool = False) -> None:
        self._answered += answered
        self._congested += congested

    def report(self, before: int = 0) -> Demand:
        """Return what is wanted, and the replies since the last report.

        Args:
            before: requests that wait for their turn, and will want a place after it.
        """
        waiting = before + sum(not place.done() for place in self._waiting)
        wanted = Demand(self._most, self._taken, waiting, self._answered, self._congested)
        self._answered = self._congested = 0
        return wanted

    def allow(self, places: int) -> None:
        """Take a new limit."""
        self.limit = float(places)
        self._fill()

    def fail(self, error: CotdistillError) -> None:
        """Let nobody wait for a keeper that is gone."""
        self._failure = error
        for place in self._waiting:
            if not place.done():
                place.set_exception(error)


class SharedRate:
    """Requests and tokens per minute, as fractions that change, one request after the other.

    Where this process was held up, only `BURST_S` worth of requests is made up for: all workers
    together pass the rate by no more in any second.
    """

    BURST_S = 0.02

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._requests, self._tokens = requests_per_minute, tokens_per_minute
        self._fraction, self._turn = 0.0, asyncio.Lock()
        self._failure: CotdistillError | None = None
        self.waiting = 0
        """Requests whose turn has not come."""
        self._last = self._debt_at = 0.0
        self._debt = 0.0
        """Tokens that are still to be waited for, as of `_debt_at`."""

    def allow(self, fraction: float) -> None:
        """Take a new share of the rates."""
        self._fraction = fraction

    def fail(self, error: CotdistillError) -> None:
        """Let nobody wait for a keeper that is gone."""
        self._failure = error

    async def wait(self, tokens: int) -> None:
        """See `contracts.Rate`. First come, first served."""
        if not (self._requests or self._tokens):
            return
        self.waiting += 1
        try:
            async with self._turn:
                while (wait := self._until()) > 0:
                    await asyncio.sleep(min(wait, EXCHANGE_S))  # the share may change meanwhile
                self._debt += tokens
        finally:
            self.waiting -= 1

    def _until(self) -> float:
        """Seconds to the next request; 0 takes its turn."""
        if self._failure is not None:
            raise self._failure
        if not self._fraction:
            return EXCHANGE_S
        now, gap = time.monotonic(), 0.0
        if self._tokens:
            paid = (now - self._debt_at) * self._tokens * self._fraction / 60
            self._debt, self._debt_at = max(0.0, self._debt - paid), now
        if self._requests:
            gap = 60 / (self._requests * self._fraction)
        at = max(self._last + gap, now - self.BURST_S)
        rest = self._debt * 60 / (self._tokens * self._fraction) if self._tokens else 0.0
        if (wait := max(at - now, rest)) <= 0:
            self._last = at
        return max(0.0, wait)

    def correct(self, estimated: int, actual: int) -> None:
        """See `contracts.Rate`."""
        self._debt = max(0.0, self._debt - estimated + actual)


class SharedLimits:
    """One worker's shares of everything; `ask` reaches the keeper."""

    def __init__(self, worker: str, ask: Ask) -> None:
        self._worker, self._ask = worker, ask
        self._limits: dict[str, tuple[SharedPlaces, SharedRate]] = {}
        self._exchange: asyncio.Task[None] | None = None
        self._sent: set[asyncio.Task[Any]] = set()

    def of(
        self, endpoint: str, places: int, requests: float | None, tokens: float | None
    ) -> tuple[Places, Rate]:
        """Return the limits of an endpoint in this process."""
        if endpoint not in self._limits:
            self._limits[endpoint] = SharedPlaces(places), SharedRate(requests, tokens)
        self.begin()
        return self._limits[endpoint]

    async def reserve(self, role: str, most: Usage, price: Price | None) -> int:
        """See `Keeper.reserve`."""
        self.begin()
        id: int = await self._ask("reserve", self._worker, role, most, price)
        return id

    def settle(self, id: int, usage: Usage | None) -> None:
        """See `Keeper.settle`."""
        self._send("settle", self._worker, id, usage)

    def begin(self) -> None:
        """Report to the keeper from now on."""
        if self._exchange is None:
            self._exchange = asyncio.create_task(self._keep_exchanging())

    async def close(self) -> None:
        """Give everything back."""
        if self._exchange is not None:
            self._exchange.cancel()
            await asyncio.gather(self._exchange, *self._sent, return_exceptions=True)
            await asyncio.gather(self._ask("leave", self._worker), return_exceptions=True)
        self._exchange = None
        self._limits.clear()

    def _send_nothing(self) -> None:
        """Hold to a share of nothing: a keeper that heard nothing for so long gives it to others
        (`keeper.SILENT_S`)."""
        for places, rate in self._limits.values():
            places.allow(0)
            rate.allow(0.0)

    async def _keep_exchanging(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                limits = self._limits.items()
                wanted = {url: places.report(rate.waiting) for url, (places, rate) in limits}
                late = loop.call_later(SILENT_S - 2 * EXCHANGE_S, self._send_nothing)
                try:
                    shares: dict[str, Share] = await self._ask("exchange", self._worker, wanted)
                finally:
                    late.cancel()
                for url, share in shares.items():
                    places, rate = self._limits[url]
                    places.allow(share.places)
                    rate.allow(share.rate)
                await asyncio.sleep(EXCHANGE_S)
        except Exception as error:  # noqa: BLE001  whatever it is, nobody may wait for ever
            gone = StoreError(f"the keeper of the run's limits is gone ({error}); run again")
            for places, rate in self._limits.values():
                places.fail(gone)
                rate.fail(gone)

    def _send(self, *call: Any) -> None:
        task = asyncio.ensure_future(self._ask(*call))
        self._sent.add(task)  # the event loop itself holds tasks weakly
        task.add_done_callback(self._sent.discard)


class SharedMeter(RoleMeter):
    """Books in this process, and holds to limits and a budget that all workers share."""

    def __init__(self, shared: SharedLimits, *books: Any) -> None:
        super().__init__(*books)
        self.shared = shared

    async def reserve(self, most: Usage) -> int:
        """See `contracts.Meter`."""
        return await self.shared.reserve(self._role, most, self._price) if self._limited else 0

    def settle(self, reservation: int, usage: Usage | None, seconds: float = 0.0) -> None:
        """See `contracts.Meter`."""
        super().settle(0, usage, seconds)
        if reservation:
            self.shared.settle(reservation, usage)

    def limits(
        self,
        endpoint: str,
        places: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
    ) -> tuple[Places, Rate]:
        """See `contracts.Meter`."""
        return self.shared.of(endpoint, places, requests_per_minute, tokens_per_minute)

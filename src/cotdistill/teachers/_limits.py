"""How much may be sent and when: places for requests under way, requests and tokens per minute, waits an endpoint asks for.

`Places` adapts the number of requests under way as DCTCP adapts a window (Alizadeh et al., SIGCOMM 2010): it shrinks in
proportion to the *share* of replies that signal congestion (429, time-outs) and grows by a constant otherwise. A few
refusals at random cost little; an endpoint that refuses half of everything is asked half as much at once.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import re
import time
from collections import deque
from collections.abc import Mapping

__all__ = ["Pace", "Places", "backoff", "requested_wait"]


class Places:
    """At most `limit` requests under way; `limit` moves between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self.limit = float(most)
        self.congestion = 0.0
        self._most = most
        self._step = max(1.0, most / 32)
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._replies = 0
        self._congested = 0

    async def take(self) -> None:
        """Wait for a place. First come, first served."""
        if self._taken < int(self.limit) and not self._waiting:
            self._taken += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def give_back(self, *, congested: bool) -> None:
        """Free a place, saying whether the endpoint signalled that it has too much to do."""
        self._replies += 1
        self._congested += congested
        if self._replies >= max(self.limit, 8):
            share = self._congested / self._replies
            self.congestion += (share - self.congestion) / 2
            shrunk = self.limit * (1 - self.congestion / 2) if self._congested else self.limit
            self.limit = min(float(self._most), max(1.0, shrunk + self._step))
            self._replies = self._congested = 0
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        while self._waiting and self._taken < int(self.limit):
            place = self._waiting.popleft()
            if not place.done():
                self._taken += 1
                place.set_result(None)


class Pace:
    """Requests and tokens per minute, each spread evenly with a second's worth of burst; and pauses on demand."""

    BURST_S = 1.0

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._next_request = self._next_token = self._paused_until = 0.0

    async def wait(self, tokens: int) -> None:
        """Wait until one more request of about so many tokens may be sent."""
        if not (self._per_request or self._per_token or self._paused_until):
            return
        now = time.monotonic()
        request_at = max(self._next_request, now - self.BURST_S + self._per_request)
        token_at = max(self._next_token, now - self.BURST_S)
        self._next_request = request_at + self._per_request
        self._next_token = token_at + self._per_token * tokens
        limits = [request_at if self._per_request else 0.0, token_at if self._per_token else 0.0]
        await self._until(max(limits))
        while self._paused_until > time.monotonic():
            await self._until(self._paused_until + random.uniform(0, 0.05))
        if self._paused_until and self._paused_until <= time.monotonic():
            self._paused_until = 0.0

    def correct(self, estimated: int, actual: int) -> None:
        """Book the tokens a reply really cost in place of the estimate."""
        self._next_token -= self._per_token * (estimated - actual)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    @staticmethod
    async def _until(moment: float) -> None:
        left = moment - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)


def backoff(tries: int, *, base_s: float = 0.5, most_s: float = 30.0) -> float:
    """Seconds to wait after so many failures: full jitter over an exponentially growing span."""
    return random.uniform(0, min(most_s, base_s * 2.0 ** (tries - 1)))


_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def requested_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds an endpoint asks to wait, from its headers (names in lower case): Retry-After in its three forms, or the reset of a limit that is used up."""
    if milliseconds := _number(headers.get("retry-after-ms", "")):
        return milliseconds / 1000
    if after := headers.get("retry-after", ""):
        seconds = _number(after)
        if seconds is not None:
            return seconds
        date = email.utils.parsedate_tz(after)
        return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else None
    waits = [
        sum(
            float(number) * _SECONDS[unit]
            for number, unit in _PART.findall(headers.get(f"x-ratelimit-reset-{what}", ""))
        )
        for what in ("requests", "tokens")
        if _number(headers.get(f"x-ratelimit-remaining-{what}", "")) == 0
    ]
    return max(waits, default=None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

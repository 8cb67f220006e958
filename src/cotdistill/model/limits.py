"""Limits of an endpoint: a concurrency limiter, a rate limiter, and waits before a retry."""

import asyncio
import email.utils
import math
import random
import re
import time
from collections import deque
from collections.abc import Mapping

FIRST = 4
"""Requests under way before the first reply: a wrong key or address costs a handful."""


class ConcurrencyLimiter:
    """At most `limit` requests under way; `limit` moves between 1 and `most`.

    It adapts to the *share* of replies that signal congestion (429, time-outs), as DCTCP adapts a
    window (Alizadeh et al., SIGCOMM 2010): each of them takes half a place away, and as many
    replies as there are places add a sixteenth of `most`. A few refusals at random cost little; an
    endpoint that refuses half of everything is soon asked an eighth as much at once.
    """

    def __init__(self, most: int) -> None:
        self.limit = float(min(most, FIRST))
        self._most = most
        self._proven = False
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a place. First come, first served."""
        if self._taken < int(self.limit) and not self._waiting:
            self._taken += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            # The place may have been given in the moment of the cancellation: hand it on.
            if place.done() and not place.cancelled():
                self._taken -= 1
                self._fill()
            raise

    def release(self, *, answered: bool = False, congested: bool = False) -> None:
        """Free a place, saying whether the reply was an answer or signalled congestion."""
        self.adapt(answered=answered, congested=congested)
        self._taken -= 1
        self._fill()

    def adapt(self, *, answered: bool = False, congested: bool = False) -> None:
        """Move the limit by what a reply was."""
        if congested:
            self.limit = max(1.0, self.limit - 0.5)
        elif answered and not self._proven:
            self._proven, self.limit = True, float(self._most)
        elif answered and self.limit < self._most:
            self.limit = min(float(self._most), self.limit + self._most / 16 / self.limit)

    def _fill(self) -> None:
        while self._waiting and self._taken < int(self.limit):
            place = self._waiting.popleft()
            if not place.done():
                self._taken += 1
                place.set_result(None)


class RateLimiter:
    """Requests and tokens per minute, each spread evenly with a second's worth of burst."""

    BURST_S = 1.0

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._next_request = self._next_token = 0.0

    async def wait(self, tokens: int) -> None:
        """Wait until one more request of about so many tokens may be sent."""
        if not (self._per_request or self._per_token):
            return
        now = time.monotonic()
        request_at = max(self._next_request, now - self.BURST_S + self._per_request)
        token_at = max(self._next_token, now - self.BURST_S)
        self._next_request = request_at + self._per_request
        self._next_token = token_at + self._per_token * tokens
        at = max(request_at if self._per_request else 0.0, token_at if self._per_token else 0.0)
        if at > now:
            await asyncio.sleep(at - now)

    def correct(self, estimated: int, actual: int) -> None:
        """Book the tokens a reply really cost in place of the estimate."""
        self._next_token -= self._per_token * (estimated - actual)


def backoff(tries: int, *, base_s: float = 0.5, most_s: float = 30.0) -> float:
    """Return the seconds to wait after so many failures: full jitter over a growing span."""
    return random.uniform(0, min(most_s, base_s * 2.0 ** min(tries - 1, 10)))


# One part of a duration as OpenAI writes it in x-ratelimit-reset-*: "6m0s", "1.5s", "20ms".
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def requested_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds an endpoint asks to wait; 0 where it asks for nothing that makes sense.

    Read from headers: Retry-After in its three forms, or the reset of a limit that is used up.
    """
    if wait := _number(headers.get("retry-after-ms", "")):
        return wait / 1000
    if after := headers.get("retry-after", ""):
        date = email.utils.parsedate_tz(after)
        if date is None or after.strip()[:1].isdigit():
            return _number(after)
        try:
            return max(0.0, email.utils.mktime_tz(date) - time.time())
        except (ValueError, OverflowError):  # the year 99999
            return 0.0
    waits = [
        sum(
            float(number) * _SECONDS[unit]
            for number, unit in _PART.findall(headers.get(f"x-ratelimit-reset-{what}", "")[:64])
        )
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0"
    ]
    return max(waits, default=0.0)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if number > 0 and math.isfinite(number) else 0.0

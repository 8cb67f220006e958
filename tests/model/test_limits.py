"""Limits: how many requests are under way, how many a minute, how long a wait."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest

from cotdistill.model import limits
from cotdistill.model.limits import (
    FIRST,
    ConcurrencyLimiter,
    RateLimiter,
    backoff,
    requested_wait,
)
from tests.clock import Clock


def proven(most: int) -> ConcurrencyLimiter:
    limiter = ConcurrencyLimiter(most)
    asyncio.run(limiter.acquire())
    limiter.release(answered=True)
    return limiter


def test_a_handful_is_under_way_until_the_first_answer() -> None:
    assert ConcurrencyLimiter(64).limit == FIRST
    assert ConcurrencyLimiter(2).limit == 2
    assert proven(64).limit == 64


def test_no_more_than_the_limit_are_under_way_and_the_first_comes_first() -> None:
    async def main() -> list[int]:
        limiter, order = ConcurrencyLimiter(2), list[int]()

        async def work(number: int) -> None:
            await limiter.acquire()
            order.append(number)
            assert limiter._taken <= 2
            await asyncio.sleep(0.001)
            limiter.release()

        await asyncio.gather(*map(work, range(20)))
        return order

    assert asyncio.run(main()) == list(range(20))


def test_a_place_given_to_a_cancelled_task_goes_to_the_next() -> None:
    async def main() -> None:
        limiter = ConcurrencyLimiter(1)
        await limiter.acquire()
        gone, next_one = (asyncio.create_task(limiter.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        limiter.release()
        gone.cancel()
        await asyncio.wait_for(next_one, 1)
        assert limiter._taken == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("share", "low", "high"), [(0.0, 64, 64), (0.05, 50, 64), (0.4, 6, 30), (1.0, 1, 1)]
)
def test_the_limit_follows_the_share_of_refusals(share: float, low: int, high: int) -> None:
    limiter, debt = proven(64), 0.0
    for _ in range(5000):
        limiter._taken += 1
        debt += share
        congested = debt >= 1
        debt -= congested
        limiter.release(answered=not congested, congested=congested)
    assert low <= limiter.limit <= high


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch, limits)


@pytest.mark.parametrize(
    ("limits", "count", "tokens", "seconds"),
    [((None, None), 1000, 100, 0), ((6000, None), 130, 0, 0.3), ((None, 60_000), 13, 100, 0.2)],
)
def test_requests_and_tokens_a_minute_are_spread_evenly(
    clock: Clock,
    limits: tuple[float | None, float | None],
    count: int,
    tokens: int,
    seconds: float,
) -> None:
    limiter, began = RateLimiter(*limits), clock.now

    async def main() -> None:
        for _ in range(count):
            await limiter.wait(tokens)

    asyncio.run(main())
    assert clock.now - began == pytest.approx(seconds, abs=0.02)


def test_a_reply_that_cost_less_than_was_thought_gives_the_rest_back(clock: Clock) -> None:
    limiter, began = RateLimiter(None, 60_000), clock.now
    asyncio.run(limiter.wait(100_000))
    limiter.correct(100_000, 10)
    asyncio.run(limiter.wait(10))
    assert clock.now - began < 0.1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "2"}, 2),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "inf"}, 0),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": formatdate(time.time() - 90, usegmt=True)}, 0),
        ({"x-ratelimit-reset-requests": "1m2s", "x-ratelimit-remaining-requests": "0"}, 62),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-remaining-tokens": "0"}, 0.02),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-remaining-tokens": "9"}, 0),
    ],
)
def test_what_an_endpoint_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert requested_wait(headers) == pytest.approx(seconds)


def test_a_date_ahead() -> None:
    after = formatdate(time.time() + 30, usegmt=True)
    assert 25 < requested_wait({"retry-after": after}) < 31


def test_backing_off_has_a_roof() -> None:
    assert max(backoff(1) for _ in range(200)) <= 0.5
    assert 10 < max(backoff(10_000) for _ in range(200)) <= 30

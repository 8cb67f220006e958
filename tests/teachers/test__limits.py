"""Places, pace, back-off, and the waits an endpoint asks for."""

from __future__ import annotations

import asyncio
import email.utils
import time

import pytest

from cotdistill.teachers._limits import Pace, Places, backoff, requested_wait


async def replies(places: Places, share_congested: float, count: int) -> None:
    for number in range(count):
        await places.take()
        places.give_back(
            congested=(number * share_congested) % 1 >= 1 - share_congested
            if share_congested
            else False
        )


def test_a_few_refusals_cost_little_and_many_cost_much() -> None:
    few, half, most = Places(64), Places(64), Places(64)
    asyncio.run(replies(few, 0.05, 2000))
    asyncio.run(replies(half, 0.5, 2000))
    asyncio.run(replies(most, 0.95, 2000))
    assert few.limit > 50
    assert 4 < half.limit < 20
    assert 1 <= most.limit < half.limit


def test_the_limit_grows_back_to_the_most_there_may_be() -> None:
    places = Places(32)
    asyncio.run(replies(places, 0.95, 500))
    assert places.limit < 10
    asyncio.run(replies(places, 0.0, 2000))
    assert places.limit == 32


def test_no_more_than_the_limit_are_under_way_and_order_is_kept() -> None:
    async def main() -> None:
        places, under_way, most, order = Places(3), 0, 0, []

        async def one(number: int) -> None:
            nonlocal under_way, most
            await places.take()
            order.append(number)
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1
            places.give_back(congested=False)

        await asyncio.gather(*(one(number) for number in range(20)))
        assert most == 3
        assert order == list(range(20))

    asyncio.run(main())


def test_a_cancelled_wait_leaves_no_hole() -> None:
    async def main() -> None:
        places = Places(1)
        await places.take()
        waiting = [asyncio.create_task(places.take()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        places.give_back(congested=False)
        waiting[1].cancel()  # after it was given the place, before it ran
        await asyncio.wait_for(waiting[2], 1)

    asyncio.run(main())


def test_requests_and_tokens_are_spread_over_the_minute() -> None:
    async def seconds(pace: Pace, requests: int, tokens: int) -> float:
        began = time.monotonic()
        for _ in range(requests):
            await pace.wait(tokens)
        return time.monotonic() - began

    assert asyncio.run(seconds(Pace(None, None), 1000, 1)) < 0.2
    assert 0.4 < asyncio.run(seconds(Pace(600, None), 15, 1)) < 1.0
    assert 0.4 < asyncio.run(seconds(Pace(None, 60_000), 16, 100)) < 1.0


def test_tokens_that_were_not_used_are_given_back() -> None:
    async def main() -> float:
        pace, began = Pace(None, 60_000), time.monotonic()
        for _ in range(100):
            await pace.wait(100)
            pace.correct(100, 1)
        return time.monotonic() - began

    assert asyncio.run(main()) < 0.5


def test_a_pause_holds_everything() -> None:
    async def main() -> float:
        pace, began = Pace(None, None), time.monotonic()
        pace.pause(0.2)
        await asyncio.gather(*(pace.wait(1) for _ in range(5)))
        return time.monotonic() - began

    assert 0.2 <= asyncio.run(main()) < 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6m0s"}, None),
    ],
)
def test_requested_wait(headers: dict[str, str], expected: float | None) -> None:
    assert requested_wait(headers) == expected


def test_a_date_to_wait_for() -> None:
    wait = requested_wait({"retry-after": email.utils.formatdate(time.time() + 30, usegmt=True)})
    assert wait is not None
    assert 27 < wait < 31
    assert (
        requested_wait({"retry-after": email.utils.formatdate(time.time() - 30, usegmt=True)}) == 0
    )


def test_back_off_has_full_jitter_under_a_growing_bound() -> None:
    waits = [[backoff(tries) for _ in range(300)] for tries in (1, 3, 20)]
    assert 0.35 < max(waits[0]) <= 0.5
    assert 1.5 < max(waits[1]) <= 2
    assert 25 < max(waits[2]) <= 30
    assert min(waits[2]) < 3

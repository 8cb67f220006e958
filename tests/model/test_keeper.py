"""Limits and a budget that workers share: never more than the whole, and all of it if wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cotdistill.contracts import Usage
from cotdistill.errors import BudgetSpent, StoreError
from cotdistill.model import sharing
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.keeper import SILENT_S, Demand, Keeper, Share, even
from cotdistill.model.ledger import Budget, Ledger
from cotdistill.model.sharing import SharedLimits, SharedMeter, SharedPlaces, SharedRate
from tests.clock import Clock

URL = "http://x/v1"


@pytest.mark.parametrize(
    ("limit", "demands", "shares"),
    [
        (8, {"a": 100, "b": 100}, {"a": 4, "b": 4}),
        (8, {"a": 1, "b": 100}, {"a": 1, "b": 7}),
        (8, {"a": 0, "b": 2}, {"a": 3, "b": 5}),
        (1, {"a": 9, "b": 9, "c": 9}, {"a": 1, "b": 0, "c": 0}),
        (4, {"a": 9, "b": 9, "c": 9}, {"a": 2, "b": 1, "c": 1}),
    ],
)
def test_even(limit: int, demands: dict[str, int], shares: dict[str, int]) -> None:
    assert even(limit, demands) == shares


def told(keeper: Keeper, worker: str, **wanted: int) -> Share:
    return asyncio.run(keeper.exchange(worker, {URL: Demand(64, **wanted)}))[URL]


def test_a_share_is_given_on_only_after_it_is_given_up() -> None:
    now = [0.0]
    keeper = Keeper(Budget(), {}, lambda: now[0])
    assert told(keeper, "a", waiting=500) == Share(4, 1.0)  # until a first reply
    assert told(keeper, "a", under_way=3, waiting=497, answered=1) == Share(64, 1.0)
    assert told(keeper, "b", waiting=500) == Share(0, 0.0)
    assert told(keeper, "a", under_way=50, waiting=450) == Share(32, 0.5)
    # Until that reaches it, `a` may send 14 more, at the whole rate.
    assert told(keeper, "b", waiting=500) == Share(0, 0.0)
    assert told(keeper, "a", under_way=60, waiting=440) == Share(32, 0.5)
    assert told(keeper, "b", waiting=500) == Share(4, 0.5)
    assert told(keeper, "a", under_way=32, waiting=440) == Share(32, 0.5)
    assert told(keeper, "b", under_way=4, waiting=496) == Share(32, 0.5)
    now[0] += SILENT_S + 1  # a is dead
    assert told(keeper, "b", under_way=32, waiting=400) == Share(64, 1.0)
    asyncio.run(keeper.leave("b"))
    assert told(keeper, "c", waiting=1) == Share(64, 1.0)


def test_refusals_that_workers_report_lower_the_limit_of_all() -> None:
    keeper = Keeper(Budget(), {})
    told(keeper, "a", waiting=500, answered=1)
    told(keeper, "b", waiting=500, congested=64)
    assert told(keeper, "a", waiting=500).places == 16


def test_the_budget_is_one_and_what_a_dead_worker_reserved_is_spent() -> None:
    async def main() -> None:
        keeper = Keeper(Budget(tokens=100), {("teacher", "prompt_tokens"): 40.0})
        first = await keeper.reserve("a", "teacher", Usage(10, 10), None)
        await keeper.settle("a", first, Usage(10, 10))  # 60 of 100
        await keeper.reserve("a", "teacher", Usage(10, 10), None)
        await keeper.leave("a")  # 80
        last = await keeper.reserve("b", "teacher", Usage(10, 10), None)
        await keeper.settle("b", last, Usage(15, 10))
        await keeper.settle("a", 99, None)  # one who was taken for dead and is not
        with pytest.raises(BudgetSpent):
            await keeper.reserve("b", "teacher", Usage(1, 1), None)

    asyncio.run(main())


def limits(keeper: Keeper, name: str) -> SharedLimits:
    return SharedLimits(name, keeper.call)


def test_workers_together_keep_to_the_limit_and_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "EXCHANGE_S", 0.002)
    under_way, most, done = 0, 0, 0

    async def work(places: Any, requests: int) -> None:
        async def ask() -> None:
            nonlocal under_way, most, done
            await places.acquire()
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.004)
            under_way -= 1
            done += 1
            places.release(answered=True)

        await asyncio.gather(*(ask() for _ in range(requests)))

    async def main() -> None:
        keeper = Keeper(Budget(), {})
        workers = [limits(keeper, name) for name in "abc"]
        shares = [one.of(URL, 12, None, None)[0] for one in workers]
        await asyncio.gather(*(work(*pair) for pair in zip(shares, (30, 60, 90), strict=True)))
        await asyncio.gather(*(one.close() for one in workers))
        assert keeper._endpoints[URL].given == {}

    asyncio.run(main())
    assert (most, done) == (12, 180)


def test_a_request_that_waits_for_its_turn_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "EXCHANGE_S", 0.002)

    async def main() -> None:
        shared = limits(Keeper(Budget(), {}), "a")
        places, rate = shared.of(URL, 4, 60_000, None)
        for _ in range(3):
            await asyncio.wait_for(rate.wait(1), 5)  # and only then is a place wanted
            await places.acquire()
            places.release(answered=True)
        await shared.close()

    asyncio.run(main())


def sent(rate: SharedRate, count: int, clock: Clock, after: Callable[[int], None]) -> list[float]:
    async def main() -> list[float]:
        times = []
        for number in range(count):
            after(number)
            await rate.wait(10)
            times.append(clock.now)
        return times

    return asyncio.run(main())


def test_a_rate_is_never_passed_not_even_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, sharing)
    clock.late = 0.001  # a timer is late

    def pause(number: int) -> None:
        clock.now += 3.0 if number == 100 else 0.0  # this process was held up

    rate = SharedRate(6000, None)
    rate.allow(0.25)
    times = sent(rate, 200, clock, pause)
    busiest = max(sum(at <= one < at + 1 for one in times) for at in times)
    assert busiest <= 26 and sum(times[0] <= one < times[0] + 1 for one in times) >= 24


def test_tokens_are_waited_for_and_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, sharing)
    rate = SharedRate(None, 600)
    rate.allow(0.5)  # 5 tokens a second
    times = sent(rate, 3, clock, lambda number: None)
    assert times[2] - times[0] == pytest.approx(4.0, abs=0.2)
    rate.correct(10, 0)
    clock.now += 0.01
    assert sent(rate, 1, clock, lambda number: None)[0] - times[2] < 0.2


def test_nobody_waits_for_a_keeper_that_is_gone() -> None:
    async def gone(*call: Any) -> Any:
        raise ConnectionError("no such actor")

    async def main() -> None:
        places, rate = SharedLimits("a", gone).of(URL, 4, 60, None)
        with pytest.raises(StoreError, match=r"no such actor.*run again"):
            await asyncio.wait_for(places.acquire(), 5)
        with pytest.raises(StoreError):
            await places.acquire()
        with pytest.raises(StoreError, match="no such actor"):
            await asyncio.wait_for(rate.wait(1), 5)

    asyncio.run(main())


def test_a_meter_books_here_and_reserves_there() -> None:
    async def main() -> None:
        keeper, ledger, log = Keeper(Budget(tokens=50), {}), Ledger(), CompletionLog()
        ledger.follow(log)
        shared = limits(keeper, "a")
        meter = SharedMeter(shared, ledger, log, "teacher", None, Budget(tokens=50))
        meter.settle(await meter.reserve(Usage(20, 20)), Usage(20, 20))
        assert ledger.tokens == 40
        meter.settle(await meter.reserve(Usage(5, 5)), Usage(5, 5))
        with pytest.raises(BudgetSpent):
            await meter.reserve(Usage(1, 1))
        await shared.close()
        free = SharedMeter(shared, ledger, log, "teacher", None, Budget())
        assert await free.reserve(Usage(9, 9)) == 0

    asyncio.run(main())


def test_nothing_is_sent_before_the_first_share() -> None:
    async def main() -> None:
        places = SharedPlaces(4)
        task = asyncio.create_task(places.acquire())
        await asyncio.sleep(0.01)
        assert not task.done() and places.report().waiting == 1
        places.allow(1)
        await task

    asyncio.run(main())


def test_a_share_ends_where_the_keeper_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SILENT_S", 0.25)

    async def main() -> None:
        asked, heard = 0, asyncio.Event()

        async def ask(name: str, *_: Any) -> dict[str, Share]:
            nonlocal asked
            asked += name == "exchange"
            if asked > 1:
                await heard.wait()
            return {URL: Share(2, 1.0)}

        worker = SharedLimits("a", ask)
        places, rate = worker.of(URL, 4, 6000, None)
        await places.acquire()
        async with asyncio.timeout(5):
            while places.limit:
                await asyncio.sleep(0.01)
        late = asyncio.gather(places.acquire(), rate.wait(1))
        await asyncio.sleep(0.15)
        assert not late.done()
        heard.set()
        await asyncio.wait_for(late, 5)
        await worker.close()

    asyncio.run(main())

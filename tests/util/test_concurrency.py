"""Questions under way at once: bounded, no barrier, clean on failure."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

import pytest

from cotdistill.util.concurrency import run_async, stream_map


async def loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not exist there")
def test_the_loop_of_a_run_is_uvloop() -> None:
    assert run_async(loop_module()) == "uvloop"


def test_without_uvloop_the_loop_is_the_standard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run_async(loop_module()) == "asyncio"


def test_a_notebook_has_a_loop_of_its_own_already() -> None:
    async def notebook() -> str:
        return run_async(loop_module())

    assert asyncio.run(notebook()) in ("uvloop", "asyncio")


@pytest.mark.parametrize("present", [True, False], ids=["uvloop", "asyncio"])
def test_an_interrupt_cancels_what_is_under_way(
    present: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not present:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    cleaned_up = []

    async def main() -> None:
        try:
            asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cleaned_up.append(True)
            raise

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_async(main())
    assert cleaned_up == [True]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_slow_item_holds_up_no_other() -> None:
    async def main() -> list[int]:
        gate = asyncio.Event()

        async def work(item: int) -> int:
            if item == 0:
                await gate.wait()
            return item * 10

        seen = []
        async for item, result in stream_map(work, range(6), max_concurrency=2):
            assert result == item * 10
            seen.append(item)
            if len(seen) == 5:
                gate.set()
        return seen

    assert asyncio.run(main()) == [1, 2, 3, 4, 5, 0]


def test_in_flight_is_a_bound_and_items_are_drawn_lazily() -> None:
    async def main() -> int:
        running = most = drawn = 0

        def items() -> object:
            nonlocal drawn
            for item in range(100):
                drawn += 1
                assert drawn - finished <= 7
                yield item

        async def work(item: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return item

        finished = 0
        async for _ in stream_map(work, items(), max_concurrency=7):  # type: ignore[arg-type]
            finished += 1
        assert finished == 100
        return most

    assert asyncio.run(main()) == 7


def test_failure_cancels_the_rest() -> None:
    cancelled = []

    async def work(item: int) -> int:
        if item == 1:
            raise ValueError("no")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    async def main() -> None:
        async for _ in stream_map(work, range(3), max_concurrency=3):
            pass

    with pytest.raises(ValueError, match="no"):
        asyncio.run(main())
    assert sorted(cancelled) == [0, 2]


def test_ctrl_c_stops_what_runs_beside_a_notebooks_loop() -> None:
    cancelled = threading.Event()
    started = threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def cell() -> None:
        def interrupt() -> None:
            started.wait()
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        run_async(work())

    loop = asyncio.new_event_loop()  # a kernel's loop leaves Ctrl-C to Python
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())
    loop.close()
    assert cancelled.is_set()

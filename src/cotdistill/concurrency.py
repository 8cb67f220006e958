"""Many questions under way at once, in bounded memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

__all__ = ["stream_map"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def stream_map(
    worker: Callable[[_Item], Awaitable[_Result]], items: Iterable[_Item], in_flight: int
) -> AsyncIterator[tuple[_Item, _Result]]:
    """Pairs of item and result as they finish; at most `in_flight` are under way, and a slow one holds up no other.

    The first exception of a worker is raised after the others have been cancelled and awaited.
    """
    source = iter(items)
    running: dict[asyncio.Task[_Result], _Item] = {}
    finished: asyncio.Queue[asyncio.Task[_Result]] = asyncio.Queue()

    async def run(item: _Item) -> _Result:
        return await worker(item)

    def start_next() -> None:
        for item in itertools.islice(source, 1):
            task = asyncio.create_task(run(item))
            running[task] = item
            task.add_done_callback(finished.put_nowait)

    try:
        for _ in range(in_flight):
            start_next()
        while running:
            task = await finished.get()
            yield running.pop(task), task.result()
            start_next()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

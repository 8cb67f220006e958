"""Many questions under way at once, in bounded memory, on the fastest event loop there is."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def run_async(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine to its end, on uvloop where it is installed.

    Where a loop runs already, as in a notebook, the work is done in a thread of its own; Ctrl-C
    stops it there as it does here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(main)
    worker = LoopThread("run")
    try:
        return worker.submit(main).result()
    finally:  # that thread hears no Ctrl-C: what is still under way is cancelled and waited for
        worker.close()


def _run(main: Coroutine[Any, Any, _Result]) -> _Result:
    with asyncio.Runner(loop_factory=_fastest()) as runner:
        return runner.run(main)


def _fastest() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop
    return new_event_loop


class LoopThread:
    """An event loop in a thread of its own, for work that outlives any one caller's loop."""

    def __init__(self, name: str) -> None:
        self._runner = asyncio.Runner(loop_factory=_fastest())
        started = Future[asyncio.AbstractEventLoop]()
        self._thread = threading.Thread(target=self._work, args=(started,), name=name, daemon=True)
        self._thread.start()
        self._loop = started.result()

    def submit(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Start work in the loop; a cancelled future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what is under way and end the thread."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _work(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        async def main() -> None:
            self._end = asyncio.Event()
            started.set_result(asyncio.get_running_loop())
            await self._end.wait()

        with self._runner:
            self._runner.run(main())


async def stream_map(
    worker: Callable[[_Item], Awaitable[_Result]], items: Iterable[_Item], max_concurrency: int
) -> AsyncIterator[tuple[_Item, _Result]]:
    """Yield pairs of item and result as they finish, with at most `max_concurrency` under way.

    A slow one holds up no other.

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
        for _ in range(max_concurrency):
            start_next()
        while running:
            task = await finished.get()
            yield running.pop(task), task.result()
            start_next()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

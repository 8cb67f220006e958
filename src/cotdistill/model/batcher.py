"""The dynamic batcher: turns an engine, which answers batches, into a model that many coroutines
ask at once.

Methods are written one question at a time (`solve` asks, reads, asks again). Everything that all
questions ask at the same moment is collected here and answered as one batch in a worker thread;
what is asked meanwhile joins the running batch as soon as there is room (where the engine lets rows
join), or is the next batch.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cotdistill.contracts import Decoding, Engine, StreamingEngine, TokenRule
from cotdistill.errors import QuestionFailed
from cotdistill.records import Completion, Request

_QUIET_SECONDS = 0.002
"""A batch starts when nothing was asked for this long: the event loop has run everything that was
ready.
"""


@dataclass(frozen=True)
class _Wanted:
    request: Request
    sample_index: int
    future: asyncio.Future[Completion]


class BatchedModel:
    """A `Model` over an engine.

    `rules` are applied to every completion (see `contracts.TokenRule`) where the engine is a
    `StreamingEngine`; other engines know no rules, and the strategy has to correct their output.
    """

    def __init__(self, engine: Engine, *, rules: Sequence[TokenRule] = ()) -> None:
        self._engine = engine
        self._rules = tuple(rules)
        # Filled by the event loop, emptied by the worker: append and popleft only, which are
        # atomic.
        self._pending: deque[_Wanted] = deque()
        self._taken: list[_Wanted] = []
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cotdistill-engine")

    def identity(self) -> Mapping[str, Any]:
        return self._engine.identity()

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        """Return one completion per sample index.

        Raises:
            QuestionFailed: the engine refused this request; others of its batch are answered.
        """
        if self._closing:
            raise RuntimeError("this model is closed")
        loop = asyncio.get_running_loop()
        wanted = [_Wanted(request, index, loop.create_future()) for index in sample_indices]
        self._pending.extend(wanted)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())
        # Every future is awaited, so that none of several failures is reported as never looked at.
        results = await asyncio.gather(*(one.future for one in wanted), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, Completion)]

    async def close(self) -> None:
        """End the worker thread after the step it is at; what someone still waits for is cancelled
        (Ctrl-C).
        """
        self._closing = True
        if self._task is not None:
            await self._task
        for one in [*self._taken, *self._pending]:
            one.future.cancel()
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending and not self._closing:
            count = -1
            while count != len(self._pending):
                count = len(self._pending)
                await asyncio.sleep(_QUIET_SECONDS)
            self._taken = []
            batch = loop.run_in_executor(self._thread, self._answer, loop)
            try:
                await asyncio.wait([batch])
            except asyncio.CancelledError:
                self._closing = True  # the event loop ends: so must the thread
                raise
            error = batch.exception()
            if error is not None:  # whatever the engine raised belongs to those who wait
                _resolve([(one.future, error) for one in self._taken])

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer what is pending, in the worker thread, until nothing is under way."""
        engine = self._engine
        decoding: Decoding = (
            engine.decoding(self._rules)
            if isinstance(engine, StreamingEngine)
            else _WholeBatches(engine)
        )
        while not self._closing:
            if self._pending:
                first = len(self._taken)
                new = [self._pending.popleft() for _ in range(len(self._pending))]
                self._taken += [one for one in new if not one.future.done()]
                joining = enumerate(self._taken[first:], first)
                decoding.add([(place, one.request, one.sample_index) for place, one in joining])
            done = [(self._taken[place].future, result) for place, result in decoding.step()]
            if done:
                loop.call_soon_threadsafe(_resolve, done)
            if not decoding.busy:
                return


class _WholeBatches:
    """The loop of an engine that lets nobody join: what was added is one batch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows: list[tuple[int, Request, int]] = []
        self.busy = False

    def add(self, batch: Sequence[tuple[int, Request, int]]) -> None:
        self._rows += batch

    def step(self) -> list[tuple[int, Completion | QuestionFailed]]:
        rows, self._rows = self._rows, []
        results = self._engine.generate([row[1:] for row in rows])
        return [(row[0], result) for row, result in zip(rows, results, strict=True)]


def _resolve(
    answered: Sequence[tuple[asyncio.Future[Completion], Completion | BaseException]],
) -> None:
    for future, result in answered:
        if future.done():
            continue
        if isinstance(result, Completion):
            future.set_result(result)
        else:
            future.set_exception(result)

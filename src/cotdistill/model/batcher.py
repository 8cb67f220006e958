"""The dynamic batcher: turns an engine, which answers batches, into a model that many coroutines
ask at once.

Methods are written one question at a time (`solve` asks, reads, asks again). Everything that all
questions ask at the same moment is collected here and answered as one batch in a worker thread;
what is asked meanwhile joins the running batch as soon as there is room (where the engine lets rows
join), or is the next batch.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from cotdistill.contracts import Decoding, Engine, StreamingEngine, TokenRule
from cotdistill.errors import QuestionFailed
from cotdistill.records import Completion, Request

_QUIET_SECONDS = 0.002
"""A batch starts when nothing was asked for this long: the event loop has run everything that was
ready.
"""


LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("LISTENER", default=None)
"""Called in the worker's thread with each piece of the text that is asked for in this context, as
it is written, where the engine is a `StreamingEngine`."""


@dataclass(frozen=True)
class _Wanted:
    number: int
    request: Request
    sample_index: int
    future: asyncio.Future[Completion]
    listener: Callable[[str], None] | None


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
        self._given_up: deque[int] = deque()
        # The worker's alone while it works: what it has taken and not answered, by number.
        self._taken: dict[int, _Wanted] = {}
        self._numbers = itertools.count()
        # The worker's alone too. It stays from batch to batch, with what it keeps for questions
        # that are asked again in turns; so an engine's weights must not change meanwhile.
        self._decoding: Decoding | None = None
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
        listener = LISTENER.get()
        wanted = [
            _Wanted(next(self._numbers), request, index, loop.create_future(), listener)
            for index in sample_indices
        ]
        for one in wanted:
            one.future.add_done_callback(partial(self._give_up, one.number))
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
        for one in [*self._taken.values(), *self._pending]:
            one.future.cancel()
        self._thread.shutdown(wait=True)
        self._decoding = None

    def _give_up(self, number: int, future: asyncio.Future[Completion]) -> None:
        if future.cancelled():
            self._given_up.append(number)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending and not self._closing:
            count = -1
            while count != len(self._pending):
                count = len(self._pending)
                await asyncio.sleep(_QUIET_SECONDS)
            self._taken = {}
            batch = loop.run_in_executor(self._thread, self._answer, loop)
            try:
                await asyncio.wait([batch])
            except asyncio.CancelledError:
                self._closing = True  # the event loop ends: so must the thread
                raise
            error = batch.exception()
            if error is not None:  # whatever the engine raised belongs to those who wait
                self._decoding = None
                _resolve([(one.future, error) for one in self._taken.values()])

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer what is pending, in the worker thread, until nothing is under way."""
        engine = self._engine
        if self._decoding is None:
            self._decoding = (
                engine.decoding(self._rules)
                if isinstance(engine, StreamingEngine)
                else _WholeBatches(engine)
            )
        decoding = self._decoding
        while not self._closing:
            gone = {self._given_up.popleft() for _ in range(len(self._given_up))}
            if self._pending:
                new = [self._pending.popleft() for _ in range(len(self._pending))]
                joining = [one for one in new if not one.future.done()]
                self._taken |= {one.number: one for one in joining}
                decoding.add([(one.number, one.request, one.sample_index) for one in joining])
                for one in joining:
                    if one.listener is not None:
                        decoding.listen(one.number, one.listener)
            if gone := gone & self._taken.keys():
                decoding.drop(gone)
                self._taken = {n: one for n, one in self._taken.items() if n not in gone}
            done = [(self._taken.pop(number).future, result) for number, result in decoding.step()]
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

    def drop(self, rows: Collection[int]) -> None:
        self._rows = [row for row in self._rows if row[0] not in rows]

    def listen(self, row: int, listener: Callable[[str], None]) -> None:
        pass  # whole texts at once

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

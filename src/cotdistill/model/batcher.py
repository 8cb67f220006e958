"""The dynamic batcher: turns an engine, which answers batches, into a model that many coroutines ask at once.

Methods are written one question at a time (`solve` asks, reads, asks again). Everything that all questions ask at the same
moment is collected here and answered as one batch in a worker thread; what is asked meanwhile joins the running batch as
soon as there is room (where the engine offers a decoding loop), or is the next batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from cotdistill.contracts import Engine, TokenRule
from cotdistill.errors import QuestionFailed
from cotdistill.records import Completion, Request

__all__ = ["BatchedModel"]

_QUIET_SECONDS = 0.002
"""A batch starts when nothing was asked for this long: the event loop has run everything that was ready."""


class _Decoder(Protocol):
    @property
    def busy(self) -> bool: ...
    def add(self, batch: Sequence[tuple[int, Request, int]]) -> None: ...
    def step(self) -> list[tuple[int, Completion]]: ...


@runtime_checkable
class _LiveEngine(Protocol):
    """An engine whose decoding loop accepts rows while it runs."""

    def decoder(self, rules: Sequence[TokenRule] = ()) -> _Decoder: ...


@dataclass(frozen=True)
class _Wanted:
    request: Request
    sample_index: int
    future: asyncio.Future[Completion]


class BatchedModel:
    """A `Model` over an engine.

    `rules` are applied to every completion (see `contracts.TokenRule`) where the engine has a decoding loop of ours; other
    engines know no rules, and a strategy that brings some has to put right what they write.
    """

    def __init__(self, engine: Engine, *, rules: Sequence[TokenRule] = ()) -> None:
        self._engine = engine
        self._rules = tuple(rules)
        self._pending: deque[_Wanted] = (
            deque()
        )  # filled by the event loop, emptied by the worker: append and popleft only
        self._taken: list[_Wanted] = []
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cotdistill-engine")

    def identity(self) -> Mapping[str, Any]:
        return self._engine.identity()

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        """One completion per sample index.

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
        """Ends the worker thread after the step it is at; what someone still waits for is cancelled (Ctrl-C)."""
        self._closing = True
        if self._task is not None:
            await self._task
        for one in [*self._taken, *self._pending]:
            one.future.cancel()
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        answer = self._answer_live if isinstance(self._engine, _LiveEngine) else self._answer
        while self._pending and not self._closing:
            count = -1
            while count != len(self._pending):
                count = len(self._pending)
                await asyncio.sleep(_QUIET_SECONDS)
            self._taken = []
            batch = loop.run_in_executor(self._thread, answer, loop)
            try:
                await asyncio.wait([batch])
            except asyncio.CancelledError:
                self._closing = True  # the event loop ends: so must the thread
                raise
            error = batch.exception()
            if error is not None:  # whatever the engine raised belongs to those who wait
                _fail(self._taken, error)

    def _take(self) -> list[_Wanted]:
        batch = [self._pending.popleft() for _ in range(len(self._pending))]
        batch = [one for one in batch if not one.future.done()]
        self._taken += batch
        return batch

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._answer_all(loop, self._take())

    def _answer_all(self, loop: asyncio.AbstractEventLoop, batch: list[_Wanted]) -> None:
        """Answers a batch; a refused request is found by halving, so that it fails alone."""
        if not batch:
            return
        try:
            completions = self._engine.generate([(one.request, one.sample_index) for one in batch])
        except QuestionFailed as error:
            if len(batch) == 1:
                loop.call_soon_threadsafe(_fail, batch, error)
                return
            middle = len(batch) // 2
            self._answer_all(loop, batch[:middle])
            self._answer_all(loop, batch[middle:])
            return
        futures = [one.future for one in batch]
        loop.call_soon_threadsafe(_resolve, list(zip(futures, completions, strict=True)))

    def _answer_live(self, loop: asyncio.AbstractEventLoop) -> None:
        assert isinstance(self._engine, _LiveEngine)
        decoder = self._engine.decoder(self._rules)
        self._add(loop, decoder, self._take(), 0)
        while decoder.busy and not self._closing:
            done = [(self._taken[slot].future, completion) for slot, completion in decoder.step()]
            if done:
                loop.call_soon_threadsafe(_resolve, done)
            if self._pending:
                first_slot = len(self._taken)
                self._add(loop, decoder, self._take(), first_slot)

    def _add(
        self,
        loop: asyncio.AbstractEventLoop,
        decoder: _Decoder,
        batch: list[_Wanted],
        first_slot: int,
    ) -> None:
        try:
            decoder.add(
                [(first_slot + i, one.request, one.sample_index) for i, one in enumerate(batch)]
            )
        except QuestionFailed as error:
            if len(batch) == 1:
                loop.call_soon_threadsafe(_fail, batch, error)
                return
            middle = len(batch) // 2
            self._add(loop, decoder, batch[:middle], first_slot)
            self._add(loop, decoder, batch[middle:], first_slot + middle)


def _fail(batch: Sequence[_Wanted], error: BaseException) -> None:
    for one in batch:
        if not one.future.done():
            one.future.set_exception(error)


def _resolve(answered: Sequence[tuple[asyncio.Future[Completion], Completion]]) -> None:
    for future, completion in answered:
        if not future.done():
            future.set_result(completion)

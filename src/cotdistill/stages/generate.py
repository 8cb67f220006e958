"""Generate: every training question through `method.annotate`, as many at a time as the teacher takes, none twice.

Reads an iterator of questions of any length and writes `rationales.jsonl`, one line per question in question order:

    {"question": "word_problems/train/17", "rationales": [{"question_id": "word_problems/train/17", "text": ...}]}
    {"question": "word_problems/train/18", "failed": "not recorded"}

Completions are kept by the completion log behind `ask`; this file is made of them and is rewritten whole by a rerun.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.errors import CotdistillError, QuestionFailed
from cotdistill.records import Question, Rationale

__all__ = ["GenerateCounts", "generate_rationales"]

PROGRESS_S = 0.1
"""How often progress is reported at most, in seconds: at thousands of questions a second a bar costs more than a question."""

GRACE_S = 30.0
"""How long requests under way may still finish after the run has to stop; what arrives is kept by the log."""


@dataclass(frozen=True, slots=True)
class GenerateCounts:
    """What came of the questions: how many there were, how many rationales, failures by reason, and how many may pass."""

    questions: int
    rationales: int
    failed: dict[str, int] = field(default_factory=dict)
    transient: int = 0


async def generate_rationales(
    questions: Iterable[Question],
    method: Method,
    ask: Ask,
    answer_type: AnswerType,
    out: Path,
    *,
    max_concurrency: int = 512,
    on_progress: Callable[[int], None] | None = None,
) -> GenerateCounts:
    """Annotate all questions, `max_concurrency` at a time, and write `out` in one step at the end.

    A slow question holds up no other. Memory does not grow with the number of questions. `on_progress` is called with
    how many are done, now and then and at the end.

    Raises:
        FatalTeacherError, BudgetSpent, StoreError: the run has to stop; requests under way were let finish and are kept.
    """
    partial = out.with_name(out.name + ".partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("wb") as file, _InOrder(file) as rows:
        run = _Run(method, ask, answer_type, rows, on_progress)
        with _calm_collector():
            await run.through(questions, max_concurrency)
        run.report()
        file.flush()
        os.fsync(file.fileno())
    partial.replace(out)
    return GenerateCounts(run.done, run.rationales, dict(sorted(run.failed.items())), run.transient)


@contextlib.contextmanager
def _calm_collector() -> Iterator[None]:
    """Let Python's cycle collector run less often: at thousands of replies a second it takes a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Run:
    def __init__(
        self,
        method: Method,
        ask: Ask,
        answer_type: AnswerType,
        rows: _InOrder,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._method, self._ask, self._kind, self._rows, self._on_progress = (
            method,
            ask,
            answer_type,
            rows,
            on_progress,
        )
        self._stopped: list[Exception] = []
        self._reported_at = 0.0
        self.done = 0
        self.rationales = 0
        self.failed: Counter[str] = Counter()
        self.transient = 0

    async def through(self, questions: Iterable[Question], max_concurrency: int) -> None:
        """So many workers take the questions one after the other; after an error each lets its last request finish."""
        source = enumerate(questions)
        workers = [asyncio.create_task(self._work(source)) for _ in range(max_concurrency)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            await asyncio.wait(workers, timeout=GRACE_S)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._stopped:
            own = (error for error in self._stopped if not isinstance(error, CotdistillError))
            raise next(own, self._stopped[0])

    async def _work(self, source: Iterator[tuple[int, Question]]) -> None:
        try:
            for position, question in source:
                await self._annotate(position, question)
                if self._stopped:
                    return
                if (
                    self.done % 64 == 0
                ):  # where all is in the log nothing else lets others (Ctrl-C) have their turn
                    await asyncio.sleep(0)
        except Exception as error:
            self._stopped.append(error)
            raise

    async def _annotate(self, position: int, question: Question) -> None:
        row: dict[str, Any] = {"question": question.id}
        try:
            rationales = await self._method.annotate(question, self._ask, self._kind)
        except QuestionFailed as error:
            row["failed"] = error.reason
            self.failed[error.reason] += 1
            self.transient += error.transient
        else:
            row["rationales"] = rationales
            self.rationales += len(rationales)
        self._rows.add(position, _line(row))
        self.done += 1
        if self._on_progress is not None and time.monotonic() - self._reported_at >= PROGRESS_S:
            self.report()

    def report(self) -> None:
        """Say how many are done."""
        self._reported_at = time.monotonic()
        if self._on_progress is not None:
            self._on_progress(self.done)


def _line(row: dict[str, Any]) -> bytes:
    """A row as a line of JSON: compact, UTF-8, the fields of a record in the order of its definition."""
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except (
        TypeError
    ):  # halves of surrogate pairs, or numbers and keys that only Python's JSON writes
        return json.dumps(row, separators=(",", ":"), default=Rationale.to_json).encode() + b"\n"


class _InOrder:
    """Writes rows in order of their position as they come in any order; rows that wait long lie on disk, not in memory."""

    HELD = 2048

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._next = 0
        self._rows: dict[int, bytes] = {}
        self._aside: dict[int, tuple[int, int]] = {}
        self._spill = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)

    def add(self, position: int, row: bytes) -> None:
        if position != self._next and len(self._rows) >= self.HELD:
            self._aside[position] = (self._spill.seek(0, os.SEEK_END), len(row))
            self._spill.write(row)
            return
        self._rows[position] = row
        while (ready := self._take(self._next)) is not None:
            self._file.write(ready)
            self._next += 1

    def _take(self, position: int) -> bytes | None:
        place = self._aside.pop(position, None)
        if place is None:
            return self._rows.pop(position, None)
        self._spill.seek(place[0])
        data = self._spill.read(place[1])
        if not self._aside:
            self._spill.seek(0)
            self._spill.truncate()
        return data

    def __enter__(self) -> _InOrder:
        return self

    def __exit__(self, *error: object) -> None:
        self._spill.close()

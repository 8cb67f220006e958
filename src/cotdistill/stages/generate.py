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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cotdistill.contracts import AnswerKind, Ask, Method
from cotdistill.errors import CotdistillError, QuestionFailed
from cotdistill.records import Question

__all__ = ["GenerateCounts", "generate_rationales"]

GRACE_S = 30.0
"""How long requests under way may still finish after the run has to stop; what arrives is kept by the log."""


@dataclass(frozen=True, slots=True)
class GenerateCounts:
    """What came of the questions: how many there were, how many rationales, and failures by reason."""

    questions: int
    rationales: int
    failed: dict[str, int] = field(default_factory=dict)


async def generate_rationales(
    questions: Iterable[Question],
    method: Method,
    ask: Ask,
    kind: AnswerKind,
    out: Path,
    *,
    in_flight: int = 512,
    on_progress: Callable[[int], None] | None = None,
) -> GenerateCounts:
    """Annotate all questions, `in_flight` at a time, and write `out` in one step at the end.

    A slow question holds up no other. Memory does not grow with the number of questions.

    Raises:
        FatalTeacherError, BudgetSpent, StoreError: the run has to stop; requests under way were let finish and are kept.
    """
    partial = out.with_name(out.name + ".partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", encoding="utf-8", newline="\n") as file, _InOrder(file) as rows:
        run = _Run(method, ask, kind, rows, on_progress)
        with _calm_collector():
            await run.through(questions, in_flight)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(out)
    return GenerateCounts(run.done, run.rationales, dict(sorted(run.failed.items())))


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
        self, method: Method, ask: Ask, kind: AnswerKind, rows: _InOrder, on_progress: Callable[[int], None] | None
    ) -> None:
        self._method, self._ask, self._kind, self._rows, self._on_progress = method, ask, kind, rows, on_progress
        self.done = 0
        self.rationales = 0
        self.failed: Counter[str] = Counter()

    async def through(self, questions: Iterable[Question], in_flight: int) -> None:
        places = asyncio.Semaphore(in_flight)
        tasks: set[asyncio.Task[None]] = set()
        stopped: list[BaseException] = []

        def finished(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            places.release()
            error = None if task.cancelled() else task.exception()
            if error is not None:
                stopped.append(error)

        try:
            try:
                for position, question in enumerate(questions):
                    await places.acquire()
                    if stopped:
                        break
                    task = asyncio.create_task(self._annotate(position, question))
                    tasks.add(task)
                    task.add_done_callback(finished)
            except CotdistillError as error:  # the questions' file is wrong further down: keep what is under way
                stopped.append(error)
            while tasks and not stopped:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                await asyncio.sleep(0)
            if tasks:
                await asyncio.wait(tasks, timeout=GRACE_S)
        finally:
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if stopped:
            raise next((error for error in stopped if not isinstance(error, CotdistillError)), stopped[0])

    async def _annotate(self, position: int, question: Question) -> None:
        row: dict[str, Any] = {"question": question.id}
        try:
            rationales = await self._method.annotate(question, self._ask, self._kind)
        except QuestionFailed as error:
            row["failed"] = error.reason
            self.failed[error.reason] += 1
        else:
            row["rationales"] = [rationale.to_json() for rationale in rationales]
            self.rationales += len(rationales)
        self._rows.add(position, json.dumps(row, ensure_ascii=False) + "\n")
        self.done += 1
        if self._on_progress is not None:
            self._on_progress(self.done)


class _InOrder:
    """Writes rows in order of their position as they come in any order; rows that wait long lie on disk, not in memory."""

    HELD = 2048

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._next = 0
        self._rows: dict[int, str] = {}
        self._aside: dict[int, tuple[int, int]] = {}
        self._spill = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)

    def add(self, position: int, row: str) -> None:
        if position != self._next and len(self._rows) >= self.HELD:
            data = row.encode("utf-8", "surrogatepass")
            self._aside[position] = (self._spill.seek(0, os.SEEK_END), len(data))
            self._spill.write(data)
            return
        self._rows[position] = row
        while (ready := self._take(self._next)) is not None:
            self._file.write(ready)
            self._next += 1

    def _take(self, position: int) -> str | None:
        place = self._aside.pop(position, None)
        if place is None:
            return self._rows.pop(position, None)
        self._spill.seek(place[0])
        data = self._spill.read(place[1])
        if not self._aside:
            self._spill.seek(0)
            self._spill.truncate()
        return data.decode("utf-8", "surrogatepass")

    def __enter__(self) -> _InOrder:
        return self

    def __exit__(self, *error: object) -> None:
        self._spill.close()

"""Progress for people: bars with ETA on a terminal, a line now and then where output is a file.

Stages know only the `Progress` protocol:

    with progress.task("answering", total=200) as advance:
        advance(1)
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from cotdistill.util.terminal import printable


class Advance(Protocol):
    """Call it with how many more items are done, and what to show beside the bar."""

    def __call__(self, count: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Receives a stage's progress."""

    def task(self, description: str, total: int | None) -> AbstractContextManager[Advance]: ...

    def log(self, line: str) -> None: ...

    def show(self, table: RenderableType) -> None: ...


class SilentProgress:
    """Reports nothing: for the library's callers and for tests."""

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Advance]:
        def advance(count: int = 1, note: str = "") -> None:
            pass

        yield advance

    def log(self, line: str) -> None:
        pass

    def show(self, table: RenderableType) -> None:
        pass


class ConsoleProgress:
    """Bars on a terminal; elsewhere a line each `every_s` seconds and one at the end of a step."""

    def __init__(
        self,
        console: Console,
        *,
        every_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._every_s = every_s
        self._clock = clock

    def log(self, line: str) -> None:
        self._console.print(
            printable(line), markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def show(self, table: RenderableType) -> None:
        self._console.print(table)

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Advance]:
        if self._console.is_terminal:
            with self._bar(description, total) as advance:
                yield advance
        else:
            with self._lines(description, total) as advance:
                yield advance

    @contextmanager
    def _bar(self, description: str, total: int | None) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with RichProgress(*columns, console=self._console) as bars:
            bar = bars.add_task(description, total=total, note="")

            def advance(count: int = 1, note: str = "") -> None:
                bars.update(bar, advance=count)
                if note:
                    bars.update(bar, note=note)

            yield advance

    @contextmanager
    def _lines(self, description: str, total: int | None) -> Iterator[Advance]:
        start = last = self._clock()
        done = 0
        latest = ""

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal done, last, latest
            done += count
            latest = note or latest
            now = self._clock()
            if now - last >= self._every_s:
                last = now
                self.log(_line(description, done, total, now - start, latest))

        yield advance
        self.log(_line(description, done, total, self._clock() - start, latest))


def _line(description: str, done: int, total: int | None, elapsed_s: float, note: str) -> str:
    of = f"/{total}" if total is not None else ""
    left = f", {elapsed_s / done * (total - done):.0f} s left" if total and 0 < done < total else ""
    return f"{description}: {done}{of} in {elapsed_s:.0f} s{left}{'  ' + note if note else ''}"

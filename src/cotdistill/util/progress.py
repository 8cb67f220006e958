"""Progress for people: bars with ETA on a terminal, a line now and then where output is a file.

Stages know only the `Progress` protocol:

    with progress.task("answering", total=200) as advance:
        advance(1)
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich import box
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

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


class _NamedBars(RichProgress):
    """Bars below their names and notes, which wrap: so nothing is cut on a narrow terminal."""

    def get_renderables(self) -> Iterator[RenderableType]:
        for task in self.tasks:
            note = f"  {task.fields['note']}" if task.fields["note"] else ""
            yield Text(printable(f"{task.description}{note}"))
            yield self.make_tasks_table([task])


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
        fits = fitting(table, self._console.width) if isinstance(table, Table) else table
        self._console.print(fits)

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
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
        )
        with _NamedBars(*columns, console=self._console) as bars:
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


def fitting(table: Table, width: int) -> RenderableType:
    """Return a table no wider than that, all words whole: wrapped at spaces, or a line a cell."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    longest = [max(len(word) for text in one for word in text.split() or "-") for one in columns]
    if sum(longest) + len(longest) + 1 <= width:
        for column, least in zip(table.columns, longest, strict=True):
            column.min_width = least
        if sum(longest) + 3 * len(longest) + 1 > width:
            table.box, table.padding = box.SIMPLE_HEAD, (0, 0)
        return table
    (first, *headers), *rows = zip(*columns, strict=True)
    lines = [str(table.title or "")]
    for name, *cells in rows:
        pairs = zip(headers, cells, strict=True)
        lines += ["", f"{first}: {name}", *(f"  {header}: {cell}" for header, cell in pairs)]
    return Text("\n".join(lines))


def _line(description: str, done: int, total: int | None, elapsed_s: float, note: str) -> str:
    of = f"/{total}" if total is not None else ""
    left = f", {elapsed_s / done * (total - done):.0f} s left" if total and 0 < done < total else ""
    return f"{description}: {done}{of} in {elapsed_s:.0f} s{left}{'  ' + note if note else ''}"

"""Progress lines where output goes to a file: description, count, time left."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console

from cotdistill.util.progress import ConsoleProgress


def test_lines_with_time_left() -> None:
    def clock() -> Iterator[float]:
        yield from (0.0, 1.0, 20.0, 40.0)

    ticks = clock()
    output = io.StringIO()
    progress = ConsoleProgress(
        Console(file=output, width=200), every_s=15, clock=lambda: next(ticks)
    )
    with progress.task("generate x", total=4) as advance:
        advance(1)
        advance(1, note="$0.10")
    assert output.getvalue().splitlines() == [
        "generate x: 2/4 in 20 s, 20 s left  $0.10",
        "generate x: 2/4 in 40 s, 40 s left  $0.10",
    ]


def test_bars_on_a_terminal() -> None:
    output = io.StringIO()
    progress = ConsoleProgress(Console(file=output, force_terminal=True, width=120))
    with progress.task("infer", total=2) as advance:
        advance(2)
    assert "infer" in output.getvalue()
    assert "2/2" in output.getvalue()


def test_labels_are_shown_as_they_are() -> None:
    for terminal in (False, True):
        output = io.StringIO()
        progress = ConsoleProgress(
            Console(file=output, force_terminal=terminal, width=120, color_system=None)
        )
        progress.log("say a [/b] :smile:")
        with progress.task("train a [/b] :smile:", total=1) as advance:
            advance(1, note="[d=8]")
        assert "say a [/b] :smile:" in output.getvalue()
        assert "train a [/b] :smile:" in output.getvalue()
        assert "[d=8]" in output.getvalue()

"""Progress lines where output goes to a file: description, count, time left."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

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


def test_a_narrow_terminal_shows_names_notes_and_counts_whole() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=60, color_system=None)
    name = "generate word_problems · Fine-tune-CoT D=8 · SmolLM2-135M"
    with ConsoleProgress(console).task(name, total=4) as advance:
        advance(4, "1,200 requests, 304,093 tokens, $0.1234")
    shown = " ".join(output.getvalue().split())
    assert f"{name} 1,200 requests, 304,093 tokens, $0.1234" in shown
    assert "4/4" in shown and "…" not in shown


def test_a_table_is_wrapped_at_spaces_or_shown_line_by_line() -> None:
    def shown(width: int) -> str:
        output = io.StringIO()
        table = Table("method", "vs. answer-only", title="accuracy")
        table.add_row("Fine-tune-CoT D=8", "+28.7 (p<0.001)")
        ConsoleProgress(Console(file=output, width=width)).show(table)
        assert max(map(len, output.getvalue().splitlines())) <= max(width, 32)
        return output.getvalue()

    for width in (80, 32, 26):
        for word in ("Fine-tune-CoT", "answer-only", "(p<0.001)"):
            assert word in shown(width), width
    assert "│" in shown(80) and "│" not in shown(26)
    assert "vs. answer-only: +28.7 (p<0.001)" in " ".join(shown(20).split())

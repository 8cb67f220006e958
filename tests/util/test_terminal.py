"""Text from outside on a terminal."""

from __future__ import annotations

import pytest

from cotdistill.util.terminal import printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 数 \t\n", "plain ä 数 \t\n"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb", "a\\rb"),
        ("\u202eabc", "\\u202eabc"),
        ("half \ud83d", "half \\ud83d"),
    ],
)
def test_what_steers_a_terminal_is_written_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_text_is_one_short_line() -> None:
    assert shortened("a\n b\x1b") == "a b\\x1b"
    assert len(shortened("x" * 10_000, 50)) == 50
    assert shortened("\n" * 10_000_000) == ""

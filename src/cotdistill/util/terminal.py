"""Text from outside, made safe to print: no control sequence of it reaches a terminal."""

import re

# All control characters but tab and newline (C0, DEL, C1: what ESC, OSC and CSI sequences begin
# with), marks that turn the direction of writing, and halves of surrogate pairs.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return the text with every character that steers a terminal written as its escape."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def shortened(text: str, most: int = 300) -> str:
    """Return the text on one printable line of at most `most` characters."""
    line = printable(" ".join(text[: 4 * most].split()))
    return line if len(line) <= most else line[: most - 1] + "…"

"""Text of others in Markdown: shown as it is, without a meaning."""

import re

# Every sign with a meaning in Markdown, in HTML inside it, or to GitHub ("~~", formulas in "$").
_MARKUP = re.compile(r"[\\`*_{}<>#|\[\]&!~$]")


def escaped(text: str) -> str:
    """Return a text on one line, with a backslash before every sign that has a meaning."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def fenced(text: str, language: str = "text") -> str:
    """Return a text as a block of code that nothing in it can end."""
    # A fence must be longer than any run of backticks in the text.
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"

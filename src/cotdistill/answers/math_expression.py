r"""Mathematical expressions in LaTeX, compared by meaning with math-verify (extra "math").

Read: the expression after the marker, else the last box, else the last formula between dollars,
else the last number. Equal writings are found without math-verify ("\dfrac12" and "\frac{1}{2}",
"1,000" and "1000"); everything else goes to it, with its own signal-based time limits switched off
(they fail outside the main thread) and ours instead: expressions of at most 300 characters without
towers or factorials of large numbers, and two seconds of computing, in whatever thread it runs.

    >>> MathExpression().extract(r"Hence $x=3$. The answer is $\boxed{\frac{1}{2}}$.")
    '\\frac{1}{2}'
"""

import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import FrameType
from typing import Any

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType
from cotdistill.errors import MissingExtra
from cotdistill.records import NO_ANSWER
from cotdistill.text.markers import ascii_digits, concluded, last_box, sentence, undecided

_NUMBER = Number()
_LONGEST = 300
_SECONDS = 2.0
# A formula between dollars or LaTeX's own brackets, of bounded length: an opening without an end
# stays cheap.
_FORMULA = re.compile(
    r"\$\$([^$]{1,300})\$\$|(?<!\\)\$([^$\n]{1,300}?)(?<!\\)\$|\\\(([^\\]{1,9}|.{1,300}?)\\\)"
    r"|\\\[(.{1,300}?)\\\]",
    re.DOTALL,
)
# What joins the formulas of one answer.
_OR = re.compile(r"\s?(?:,|or\b|and\b|,\s(?:or|and)\b)\s?")
# What makes a line an expression: a sign, a digit, or a letter that stands alone.
_MATHEMATICAL = re.compile(r"[\d\\=^_+*/()\[\]{}|<>π∞√-]|(?<!\w)[A-Za-z](?!\w)")
# Towers, large powers and factorials: computing them would take for ever.
_EXPLOSIVE = re.compile(
    r"[)\]}]\s*\^\s*\{?\s*\d{2,}|\^\s*\{?\s*\d{4,}|\d{3,}\s*!|\^\s*\{[^{}]*\^|\d{40,}|!\s*!"
)
# Spacing, sizes and units.
_DROPPED = re.compile(
    r"\\(?:left|right|displaystyle|[,;:! ])|\\(?:quad|qquad)\b|~|\s+|[$]|\\%|%"
    r"|\^\s*\{?\s*\\circ\s*\}?|°"
)
# Text commands.
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}")
# \frac12.
_SHORT_FRACTION = re.compile(r"\\frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])")


class MathExpression(AnswerType):
    """A LaTeX expression, compared by meaning."""

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        return concluded(ascii_digits(text), markers, _concluded, _last, str.strip)

    def gold(self, text: str) -> str | None:
        plain = text.strip()
        return plain if plain and len(plain) <= _LONGEST and "####" not in plain else None

    def same(self, answer: str | None, gold: str | None) -> bool:
        if answer is None or gold is None:
            return False
        one, other = normal(answer), normal(gold)
        if not one or not other:
            return False
        if one == other:
            return True
        if _plain_number(one) and _plain_number(other):
            return _NUMBER.same(one, other)
        return _equal(answer, gold)


def _last(text: str) -> str | None:
    formulas = [content for found in _FORMULA.finditer(text) if (content := _content(found))]
    if formulas:
        return formulas[-1]
    whole = text.strip().strip("*").rstrip(".")
    alone = len(whole.split()) == 1 and "\\boxed" not in whole
    return whole if alone and _MATHEMATICAL.search(whole) else _NUMBER.extract(text)


def _concluded(tail: str) -> str | None:
    box = last_box(tail)
    if box is not None:
        return box.strip()
    if undecided(tail):
        return NO_ANSWER
    formula = _FORMULA.search(tail)
    if formula is not None and (content := _content(formula)):
        while (link := _OR.match(tail, formula.end())) and (
            formula := _FORMULA.match(tail, link.end())
        ):
            content += f", {_content(formula)}"
        return content
    line = sentence(tail).strip(" .*:$")
    return (
        line
        if line and len(line) <= _LONGEST and "\\boxed" not in line and _MATHEMATICAL.search(line)
        else NO_ANSWER
    )


def _content(found: re.Match[str]) -> str:
    return next((group for group in found.groups() if group), "").strip().rstrip(".,")


def normal(expression: str) -> str:
    r"""The expression without spacing, size and unit commands, and with \frac in its long form."""
    plain = _TEXT.sub(lambda found: found[1].strip(), expression)
    plain = (
        plain.replace("\\dfrac", "\\frac")
        .replace("\\tfrac", "\\frac")
        .replace("{,}", ",")
        .rstrip(" .")
    )
    plain = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", _DROPPED.sub("", plain))
    # "x = 5" and "x \in [0, 1]" are read as what stands behind the variable.
    return re.sub(r"^[A-Za-z](?:\\in|=)(?=.)", "", plain)


def _plain_number(text: str) -> bool:
    return (
        re.fullmatch(
            r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?|-?\\frac\{\d+\}\{\d+\}|-?\d+/\d+", text
        )
        is not None
    )


class _TimeUp(BaseException):
    """No Exception, so that the library's own handlers let it pass."""


@lru_cache(maxsize=4096)
def _equal(answer: str, gold: str) -> bool:
    """Return whether math-verify finds the two equal; False where it takes too long."""
    if any(len(text) > _LONGEST or _EXPLOSIVE.search(text) for text in (answer, gold)):
        return False
    math_verify = _library()

    def compare() -> bool:
        config = (math_verify.LatexExtractionConfig(),)
        one, other = (
            math_verify.parse(f"${text.strip('$')}$", config, parsing_timeout=None)
            for text in (gold, answer)
        )
        return bool(one and other and math_verify.verify(one, other, timeout_seconds=None))

    try:
        return _within(_SECONDS, compare)
    except _TimeUp:
        return False


@lru_cache(maxsize=1)
def _library() -> Any:
    """Return math-verify, loaded and warm: its first call builds a parser, which must not count as
    computing time."""
    try:
        import math_verify
    except ImportError as error:
        raise MissingExtra(
            "comparing expressions needs math-verify: pip install 'cotdistill[math]'"
        ) from error
    for name in ("math_verify", "math_verify.parser", "math_verify.grader", "math_verify.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    config = (math_verify.LatexExtractionConfig(),)
    one = math_verify.parse("$\\frac{x}{2}$", config, parsing_timeout=None)
    math_verify.verify(
        one, math_verify.parse("$x/2$", config, parsing_timeout=None), timeout_seconds=None
    )
    return math_verify


def _within(seconds: float, work: Callable[[], bool]) -> bool:
    """Run `work`, raising _TimeUp in it after so much computing. A profile hook looks at the clock:
    it works in every thread."""
    end = time.thread_time() + seconds
    calls = 0

    def look(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 64 == 0 and time.thread_time() > end:
            raise _TimeUp

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        return work()
    finally:
        sys.setprofile(before)

"""Arithmetic in running text: reads the equations a rationale contains, says which hold, and completes an opened one.

Built on the parser of `expressions`; nothing is ever given to `eval`. Powers, roots and variables are left out: what has one of
those is no equation here, so it is called neither right nor wrong.

    "Ana pays 3 * $4 = $12."            one equation, holds
    "<<3*4=13>>13"                      one equation, does not hold
    completion("so 3 * 4 =")         -> " 12"
    completion("so <<3*4=")          -> "12>>12"
    corrected("3 * 4 = 13. 13 + 1 = 14.") -> "3 * 4 = 12. 12 + 1 = 13."
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction

from cotdistill.text.expressions import (
    LONGEST,
    NUMBER,
    Parser,
    Token,
    Unparsable,
    evaluate,
    number_value,
    tokens_of,
)

__all__ = [
    "Equation",
    "completion",
    "corrected",
    "equations_key",
    "evaluate",
    "find_equations",
    "format_number",
    "numbers",
    "repaired",
]

_ANNOTATION = re.compile(r"<<([^<>\n]*)>>")


@dataclass(frozen=True, slots=True)
class Equation:
    """One written equation: where its two sides stand in the text, and their exact values.

    `result` is the right side's first number and `result_end` its end: what a calculator replaces.
    """

    left: str
    right: str
    result: str
    left_start: int
    right_start: int
    right_end: int
    result_end: int
    left_value: Fraction
    right_value: Fraction
    calculates: bool
    """Whether the left side has something to calculate, so that the right side begins with a result."""

    @property
    def holds(self) -> bool:
        """Whether both sides are equal, a decimal result being right where it is the exact one cut or rounded."""
        if "%" in self.left and "%" not in self.right:
            return any(
                _is_written_as(self.left_value * scale, self.right, self.right_value)
                for scale in (1, 100)
            )
        return _is_written_as(self.left_value, self.right, self.right_value)

    @property
    def result_wrong(self) -> bool:
        """Whether the result itself is wrong; in the run-on `3 * 4 = 12 + 5 = 17` none is, though 3 * 4 is not 17."""
        value = evaluate(self.result)
        return (
            self.calculates
            and not self.holds
            and not (value is not None and _is_written_as(self.left_value, self.result, value))
        )


def _is_written_as(exact: Fraction, shown: str, value: Fraction) -> bool:
    """Whether `shown`, of this value, writes an exact number: fully, cut off or rounded at its last decimal."""
    decimals = re.fullmatch(r"\D*\d[\d,]*\.(\d+)%?", shown) or re.fullmatch(r"\D*\.(\d+)%?", shown)
    step = Fraction(1, 10 ** len(decimals[1])) if decimals else Fraction(0)
    candidates = [value]
    if shown.endswith("%"):
        candidates.append(value * 100)
        step /= 100
    return any(
        candidate == exact
        or abs(candidate - exact) * 2 <= step
        or (candidate * exact >= 0 and 0 <= abs(exact) - abs(candidate) < step)
        for candidate in candidates
    )


def find_equations(text: str) -> list[Equation]:
    """The equations of a text in order: both sides arithmetic, an operator in at least one; those of `<<…>>` too."""
    if "=" not in text:
        return []
    bare = _ANNOTATION.sub(lambda match: " " * len(match[0]), text)
    found = list(_equations(text, tokens_of(bare)))
    for match in _ANNOTATION.finditer(text):
        tokens = [
            Token(t.kind, t.text, t.start + match.start(1), t.end + match.start(1))
            for t in tokens_of(match[1])
        ]
        found += _equations(text, tokens)
    return sorted(found, key=lambda equation: equation.right_start)


def equations_key(text: str) -> str:
    """What two rationales with the same equations in the same order have in common; "" for one without equations."""
    return ";".join(
        f"{equation.left}={equation.right}".replace(" ", "") for equation in find_equations(text)
    )


def completion(text: str) -> str | None:
    """What a calculator writes behind a text that has just opened an equation ("… 3 * 4 ="); None where it has not."""
    if not text.endswith("="):
        return None
    # No expression reaches back over a line or a full stop, and reading more would cost time at every equation.
    opened = text[max(text.rfind("\n"), text.rfind(". ")) + 1 :][-200:]
    annotated = opened.rfind("<<") > opened.rfind(">>")
    tokens = tokens_of(
        opened[opened.rfind("<<") + 2 :] if annotated else _ANNOTATION.sub(" ", opened)
    )
    left = _left_side(tokens, len(tokens) - 1) if tokens else None
    if left is None or not left[2]:
        return None
    result = _in_style(left[1], "".join(token.text for token in tokens[left[0] : -1]))
    if annotated:
        return f"{result}>>{result}"
    return result if opened[-2:-1].isdigit() or opened[-2:-1] == ")" else f" {result}"


def corrected(text: str, given: Collection[Fraction] = (), start: int = 0) -> str:
    """The text with every equation's result put right, and the right result carried to where the wrong one is used.

    Numbers in `given` (those of the question) are never replaced outside an equation's result: they have their own source.
    What ends before `start` stays as it is; a result that begins before it and goes on behind it is looked at.
    """
    pieces, place, carried = list[str](), 0, dict[Fraction, Fraction]()
    for equation in find_equations(text):
        if equation.right_start < place or equation.result_end <= start:
            continue
        between = _carry(text[place : equation.right_start], carried)
        written = text[equation.right_start : equation.result_end]
        left = (
            _carry(text[equation.left_start : equation.right_start], carried)
            .rstrip()
            .removesuffix("=")
        )
        value, old = evaluate(left), evaluate(written)
        pieces.append(between)
        place = equation.result_end
        if not equation.calculates or value is None or old is None or _right(equation, value, old):
            pieces.append(written)
            carried.pop(old or Fraction(0), None)
            continue
        pieces.append(_in_style(value, written))
        if old not in given:
            carried[old] = value
    return "".join([*pieces, _carry(text[place:], carried)])


def repaired(text: str, start: int = 0) -> str | None:
    """The text up to and with the right result of its first wrong equation; None where all are right.

    What ends before `start` is not looked at; a result that begins before it and goes on behind it is.
    """
    for equation in find_equations(text):
        if equation.result_end > start and equation.result_wrong:
            return text[: equation.right_start] + _in_style(equation.left_value, equation.result)
    return None


def numbers(text: str) -> set[Fraction]:
    """The values of all numbers in a text."""
    return {
        number_value(token.text)
        for token in tokens_of(text)
        if token.kind == "number" and len(token.text) <= LONGEST
    }


def format_number(value: Fraction) -> str:
    """A number as people write it: exact up to four decimals, else rounded to two."""
    if value.denominator == 1:
        return str(value.numerator)
    exact = value * 10_000
    if exact.denominator == 1:
        return f"{float(value):.4f}".rstrip("0")
    return f"{float(round(value, 2)):.2f}"


def _equations(text: str, tokens: list[Token]) -> Iterator[Equation]:
    for index, token in enumerate(tokens):
        if token.kind != "equals":
            continue
        left = _left_side(tokens, index)
        right = _right_side(tokens, index + 1)
        if left is None or right is None or not (left[2] or right[2]):
            continue
        first, last = tokens[left[0]], tokens[index - 1]
        start, result = tokens[index + 1].start, _result_end(tokens, index + 1)
        equation = Equation(
            left=text[first.start : last.end].strip(),
            right=text[start : right[1]].strip(),
            result=text[start:result].strip(),
            left_start=first.start,
            right_start=start,
            right_end=right[1],
            result_end=result,
            left_value=left[1],
            right_value=right[0],
            calculates=left[2] > 0,
        )
        in_units = not left[2] and any(one.kind == "word" for one in tokens[left[0] : index])
        if equation.holds or not (right[3] or in_units):
            yield equation


def _left_side(tokens: list[Token], equals: int) -> tuple[int, Fraction, int] | None:
    """First token, value and operators of the longest expression that ends at the sign of equality."""
    start = equals
    while (
        start > 0
        and equals - start < LONGEST
        and tokens[start - 1].kind in ("number", "operator", "open", "close", "word")
    ):
        start -= 1
    for first in range(start, equals):
        if first and tokens[first - 1].kind == "power":
            return None
        if tokens[first].kind not in ("number", "operator", "open"):
            continue
        parser = Parser(tokens[first:equals])
        try:
            value = parser.sum()
        except Unparsable:
            continue
        if first + parser.position == equals:
            return None if _cut_off(tokens, first) else (first, value, parser.operators)
    return None


def _cut_off(tokens: list[Token], first: int) -> bool:
    """Whether what stands before the expression shows that its beginning could not be read.

    So in 2x + 3 + 1, in the mixed number of 10 * 1 1/2, in the time 7:50 + 30.
    """
    if first == 0:
        return False
    before = tokens[first - 1]
    earlier = tokens[first - 2].kind if first > 1 else ""
    if before.kind == "operator":
        return earlier in ("number", "close", "word", "power")
    if before.text == ":":
        return earlier == "number" and before.end == tokens[first].start
    return before.kind == "number"


def _right_side(tokens: list[Token], first: int) -> tuple[Fraction, int, int, bool] | None:
    """Value, end and operators of the expression behind the sign of equality, and whether something unreadable goes on
    with it (= 30 + M trees)."""
    parser = Parser(tokens[first : first + LONGEST])
    try:
        value = parser.sum()
    except Unparsable:
        return None
    behind = tokens[first + parser.position : first + parser.position + 2]
    if (
        behind
        and behind[0].kind in ("power", "word")
        and len(behind[0].text) == 1
        and behind[0].start == parser.end
    ):
        return None
    goes_on = len(behind) > 1 and behind[0].kind == "operator" and behind[1].kind == "word"
    return value, parser.end, parser.operators, goes_on


def _result_end(tokens: list[Token], first: int) -> int:
    """End of the first number of the right side, its sign included."""
    return next((t.end for t in tokens[first:] if t.kind == "number"), tokens[first].end)


def _right(equation: Equation, value: Fraction, old: Fraction) -> bool:
    """Whether the written result is that of the left side as it stands after earlier results were carried to it."""
    return not equation.result_wrong if value == equation.left_value else old == value


def _in_style(value: Fraction, shown: str) -> str:
    """The number, with the currency or percent sign that `shown` has."""
    if (
        shown.count("%")
        and shown.count("%") == len(re.findall(NUMBER, shown))
        and not re.search(r"[*/×÷]", shown)
    ):
        return f"{format_number(value * 100)}%"
    sign = next((sign for sign in "$£€" if sign in shown), "")
    return f"-{sign}{format_number(-value)}" if value < 0 else sign + format_number(value)


def _carry(text: str, carried: dict[Fraction, Fraction]) -> str:
    if not carried:
        return text
    pieces, place = list[str](), 0
    for token in tokens_of(text):
        if token.kind != "number" or len(token.text) > LONGEST:
            continue
        if (value := carried.get(number_value(token.text))) is not None:
            pieces += [text[place : token.start], _in_style(value, token.text)]
            place = token.end
    return "".join([*pieces, text[place:]])

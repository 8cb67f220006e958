"""Arithmetic in running text: reads the equations a rationale contains, says which hold, and completes an opened one.

A parser for + - * / ( ), decimals, thousands separators, currency signs, percentages and unit words; exact fractions, no
`eval`. It leaves out powers, roots and variables: an expression with one of those is no equation to it, so it is
neither called right nor wrong.

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

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?![\d])|\d+)(?:\.\d+)?|\.\d+"
_TOKEN = re.compile(
    rf"(?P<power>(?<=\d)\*\*(?=\d)|\^)|(?P<stop>\*\*|\n|[<>]+|==)|(?P<number>(?:[$£€]\s?)?(?:{_NUMBER})%?)"
    r"|(?P<operator>[-+*/×÷−·])|(?P<open>\()|(?P<close>\))|(?P<equals>=)|(?P<word>[^\W\d_]+)|(?P<other>[^\s])"
)
_ANNOTATION = re.compile(r"<<([^<>\n]*)>>")
_SIGNS = {"×": "*", "·": "*", "÷": "/", "−": "-", "x": "*", "X": "*", "of": "*"}
_LONGEST = 60
"""Tokens an expression may have, and digits a number may have: what is longer is no arithmetic of a rationale."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


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


class _Unparsable(ValueError):
    """The tokens are no arithmetic expression."""


class _Parser:
    """Recursive descent over tokens; `position` is the next token. Unit words behind an operand are passed over."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens, self.position, self.operators, self.end = tokens, 0, 0, 0

    def sum(self) -> Fraction:
        value = self.product()
        while sign := self._operator("+-"):
            term = self.product()
            value = value + term if sign == "+" else value - term
        return value

    def product(self) -> Fraction:
        value = self.operand()
        while sign := self._operator("*/"):
            factor = self.operand()
            if sign == "/" and factor == 0:
                raise _Unparsable
            value = value * factor if sign == "*" else value / factor
        return value

    def operand(self) -> Fraction:
        token = self._next()
        if token.kind == "operator" and token.text in "-−" and self._peek().start == token.end:
            return -self.operand()
        if token.kind == "open":
            value = self.sum()
            closing = self._next()
            if closing.kind != "close":
                raise _Unparsable
            self.end = closing.end
        elif token.kind == "number":
            value = _value(token.text)
            self.end = token.end
        else:
            raise _Unparsable
        self._pass_units()
        return value

    def _pass_units(self) -> None:
        if self._kind(0) == "word" and len(self.tokens[self.position].text) == 1 and self._attached():
            return
        words = 0
        while words < 2 and self._kind(words) == "word" and not self._is_sign(words):
            words += 1
        if words and (self._kind(words) in ("operator", "equals", "close", "") or self._is_sign(words)):
            self.position += words

    def _operator(self, signs: str) -> str:
        """Takes the next operator if it is one of `signs` and something to operate on follows."""
        if self._kind(0) != "operator" and not self._is_sign(0):
            return ""
        sign = _SIGNS.get(self.tokens[self.position].text, self.tokens[self.position].text)
        if sign not in signs or self._kind(1) not in ("number", "open", "operator"):
            return ""
        if self._kind(1) == "operator" and self.tokens[self.position + 1].text not in "-−":
            return ""
        self.position += 1
        self.operators += 1
        return sign

    def _attached(self) -> bool:
        """Whether the next token touches the one before it, as the variable in 2x does."""
        return self.position > 0 and self.tokens[self.position - 1].end == self.tokens[self.position].start

    def _is_sign(self, ahead: int) -> bool:
        """Whether a word multiplies: 3 x 4, 20% of 50, 1/2 of 50; but not 3 of 5."""
        index = self.position + ahead
        if self._kind(ahead) != "word" or self._kind(ahead + 1) not in ("number", "open"):
            return False
        if self.tokens[index].text == "of":
            share = self.tokens[index - 1].text.endswith("%") or (index > 1 and self.tokens[index - 2].text in "/÷")
            return index > 0 and share
        return self.tokens[index].text in _SIGNS

    def _kind(self, ahead: int) -> str:
        index = self.position + ahead
        return self.tokens[index].kind if index < len(self.tokens) else ""

    def _peek(self) -> _Token:
        if self.position >= len(self.tokens):
            raise _Unparsable
        return self.tokens[self.position]

    def _next(self) -> _Token:
        token = self._peek()
        self.position += 1
        return token


def evaluate(expression: str) -> Fraction | None:
    """The exact value of an expression; None where it is not one, divides by zero or is longer than sense allows."""
    tokens = _tokens(expression)
    if len(tokens) > _LONGEST:
        return None
    parser = _Parser(tokens)
    try:
        value = parser.sum()
    except _Unparsable:
        return None
    return value if parser.position == len(tokens) else None


def find_equations(text: str) -> list[Equation]:
    """The equations of a text in order: both sides arithmetic, an operator in at least one; those of `<<…>>` too."""
    if "=" not in text:
        return []
    bare = _ANNOTATION.sub(lambda match: " " * len(match[0]), text)
    found = list(_equations(text, _tokens(bare)))
    for match in _ANNOTATION.finditer(text):
        tokens = [_Token(t.kind, t.text, t.start + match.start(1), t.end + match.start(1)) for t in _tokens(match[1])]
        found += _equations(text, tokens)
    return sorted(found, key=lambda equation: equation.right_start)


def equations_key(text: str) -> str:
    """What two rationales with the same equations in the same order have in common; "" for one without equations."""
    return ";".join(f"{equation.left}={equation.right}".replace(" ", "") for equation in find_equations(text))


def completion(text: str) -> str | None:
    """What a calculator writes behind a text that has just opened an equation ("… 3 * 4 ="); None where it has not."""
    if not text.endswith("="):
        return None
    opened = text[text.rfind("\n") + 1 :][-200:]
    annotated = opened.rfind("<<") > opened.rfind(">>")
    tokens = _tokens(opened[opened.rfind("<<") + 2 :] if annotated else _ANNOTATION.sub(" ", opened))
    left = _left_side(tokens, len(tokens) - 1) if tokens else None
    if left is None or not left[2]:
        return None
    result = _in_style(left[1], "".join(token.text for token in tokens[left[0] : -1]))
    if annotated:
        return f"{result}>>{result}"
    return result if opened[-2:-1].isdigit() or opened[-2:-1] == ")" else f" {result}"


def corrected(text: str, given: Collection[Fraction] = ()) -> str:
    """The text with every equation's result put right, and the right result carried to where the wrong one is used.

    Numbers in `given` (those of the question) are never replaced outside an equation's result: they have their own source.
    """
    pieces, place, carried = list[str](), 0, dict[Fraction, Fraction]()
    for equation in find_equations(text):
        if equation.right_start < place:
            continue
        between = _carry(text[place : equation.right_start], carried)
        written = text[equation.right_start : equation.result_end]
        left = _carry(text[equation.left_start : equation.right_start], carried).rstrip().removesuffix("=")
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
    return {_value(token.text) for token in _tokens(text) if token.kind == "number" and len(token.text) <= _LONGEST}


def format_number(value: Fraction) -> str:
    """A number as people write it: exact up to four decimals, else rounded to two."""
    if value.denominator == 1:
        return str(value.numerator)
    exact = value * 10_000
    if exact.denominator == 1:
        return f"{float(value):.4f}".rstrip("0")
    return f"{float(round(value, 2)):.2f}"


def _tokens(text: str) -> list[_Token]:
    return [_Token(m.lastgroup or "", m[0], m.start(), m.end()) for m in _TOKEN.finditer(text)]


def _value(number: str) -> Fraction:
    digits = number.strip("$£€% ").replace(",", "")
    if len(digits) > _LONGEST:
        raise _Unparsable
    value = Fraction("0" + digits if digits.startswith(".") else digits)
    return value / 100 if number.endswith("%") else value


def _equations(text: str, tokens: list[_Token]) -> Iterator[Equation]:
    for index, token in enumerate(tokens):
        if token.kind != "equals":
            continue
        left = _left_side(tokens, index)
        right = _right_side(tokens, index + 1)
        if left is None or right is None or not (left[2] or right[2]):
            continue
        first, last = tokens[left[0]], tokens[index - 1]
        start, result = tokens[index + 1].start, _result_end(tokens, index + 1)
        yield Equation(
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


def _left_side(tokens: list[_Token], equals: int) -> tuple[int, Fraction, int] | None:
    """First token, value and operators of the longest expression that ends at the sign of equality."""
    start = equals
    while (
        start > 0
        and equals - start < _LONGEST
        and tokens[start - 1].kind in ("number", "operator", "open", "close", "word")
    ):
        start -= 1
    for first in range(start, equals):
        if first and tokens[first - 1].kind == "power":
            return None
        parser = _Parser(tokens[first:equals])
        try:
            value = parser.sum()
        except _Unparsable:
            continue
        if first + parser.position == equals:
            return None if _cut_off(tokens, first) else (first, value, parser.operators)
    return None


def _cut_off(tokens: list[_Token], first: int) -> bool:
    """Whether an operator before the expression shows that its beginning could not be read (as in 2x + 3 + 1)."""
    if first == 0 or tokens[first - 1].kind != "operator":
        return False
    return first > 1 and tokens[first - 2].kind in ("number", "close", "word", "power")


def _right_side(tokens: list[_Token], first: int) -> tuple[Fraction, int, int] | None:
    """Value, end and operators of the expression that begins behind the sign of equality."""
    parser = _Parser(tokens[first : first + _LONGEST])
    try:
        value = parser.sum()
    except _Unparsable:
        return None
    if parser._kind(0) == "power":
        return None
    return value, parser.end, parser.operators


def _result_end(tokens: list[_Token], first: int) -> int:
    """End of the first number of the right side, its sign included."""
    return next((t.end for t in tokens[first:] if t.kind == "number"), tokens[first].end)


def _right(equation: Equation, value: Fraction, old: Fraction) -> bool:
    """Whether the written result is that of the left side as it stands after earlier results were carried to it."""
    return not equation.result_wrong if value == equation.left_value else old == value


def _in_style(value: Fraction, shown: str) -> str:
    """The number, with the currency or percent sign that `shown` has."""
    if shown.count("%") and shown.count("%") == len(re.findall(_NUMBER, shown)) and not re.search(r"[*/×÷]", shown):
        return f"{format_number(value * 100)}%"
    sign = next((sign for sign in "$£€" if sign in shown), "")
    return f"-{sign}{format_number(-value)}" if value < 0 else sign + format_number(value)


def _carry(text: str, carried: dict[Fraction, Fraction]) -> str:
    if not carried:
        return text
    pieces, place = list[str](), 0
    for token in _tokens(text):
        if token.kind != "number" or len(token.text) > _LONGEST:
            continue
        if (value := carried.get(_value(token.text))) is not None:
            pieces += [text[place : token.start], _in_style(value, token.text)]
            place = token.end
    return "".join([*pieces, text[place:]])

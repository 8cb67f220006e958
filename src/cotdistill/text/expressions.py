"""Reads arithmetic expressions as people write them in running text: tokens, a recursive-descent parser, exact fractions.

+ - * / ( ), decimals, thousands separators, currency signs, percentages ("20% of 50"), × ÷ x, and artifact words behind a number.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

__all__ = [
    "LONGEST",
    "NUMBER",
    "Parser",
    "Token",
    "Unparsable",
    "evaluate",
    "number_value",
    "tokens_of",
]

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?![\d])|\d+)(?:\.\d+)?|\.\d+"
_TOKEN = re.compile(
    rf"(?P<power>(?<=\d)\*\*(?=\d)|\^)|(?P<stop>\*\*|\n|-+>|[<>]+|==)|(?P<number>(?:[$£€]\s?)?(?:{NUMBER})(?:\s?%)?)"
    r"|(?P<operator>[-+*/×÷−–·])|(?P<open>\()|(?P<close>\))|(?P<equals>=)|(?P<word>[^\W\d_]+)|(?P<other>[^\s])"
)
_SIGNS = {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "x": "*", "X": "*", "of": "*"}
LONGEST = 60
"""Tokens an expression may have, and digits a number may have: what is longer is no arithmetic of a rationale."""


class Token(NamedTuple):
    """A piece of a text and where it stands."""

    kind: str
    text: str
    start: int
    end: int


class Unparsable(ValueError):
    """The tokens are no arithmetic expression."""


class Parser:
    """Recursive descent over tokens; `position` is the next token. Artifact words behind an operand are passed over."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.position, self.operators, self.end = tokens, 0, 0, 0

    def sum(self) -> Fraction:
        value = self.product()
        while sign := self._operator("+-"):
            term = self.product()
            value = value + term if sign == "+" else value - term
        return value

    def product(self) -> Fraction:
        value = self.operand()
        while sign := self._operator("*/") or ("*" if self._opens_factor() else ""):
            factor = self._fraction() or self.operand()
            if sign == "/" and factor == 0:
                raise Unparsable
            value = value * factor if sign == "*" else value / factor
        return value

    def _opens_factor(self) -> bool:
        """Whether a bracket touches what it multiplies, as in 5(6 + 3)."""
        found = self.kind(0) == "open" and self._attached()
        self.operators += found
        return found

    def _fraction(self) -> Fraction | None:
        """A fraction written tight behind an operator that is not, as in 25 / 1/3: one operand."""
        tokens = self.tokens[self.position : self.position + 3]
        kinds = [token.kind for token in tokens]
        if (
            kinds != ["number", "operator", "number"]
            or tokens[1].text not in "/÷"
            or self._attached()
        ):
            return None
        if tokens[0].end != tokens[1].start or tokens[1].end != tokens[2].start:
            return None
        below = number_value(tokens[2].text)
        if below == 0:
            raise Unparsable
        self.position += 3
        self.end = tokens[2].end
        self._pass_units()
        return number_value(tokens[0].text) / below

    def operand(self) -> Fraction:
        negative = self._is_negative(0)
        token = self._next()
        if negative:
            return -self.operand()
        if token.kind == "open":
            value = self.sum()
            closing = self._next()
            if closing.kind != "close":
                raise Unparsable
            self.end = closing.end
        elif token.kind == "number":
            value = number_value(token.text)
            self.end = token.end
        else:
            raise Unparsable
        self._pass_units()
        return value

    def _pass_units(self) -> None:
        if (
            self.kind(0) == "word"
            and len(self.tokens[self.position].text) == 1
            and self._attached()
        ):
            return
        words = 0
        while (
            words < 2
            and self.kind(words) == "word"
            and self._text(words) not in ("x", "X")
            and not self._is_sign(words)
        ):
            words += 1
        if words and (
            self.kind(words) in ("operator", "equals", "close", "") or self._is_sign(words)
        ):
            self.position += words

    def _operator(self, signs: str) -> str:
        """Takes the next operator if it is one of `signs` and something to operate on follows."""
        if self.kind(0) != "operator" and not self._is_sign(0):
            return ""
        sign = _SIGNS.get(self.tokens[self.position].text, self.tokens[self.position].text)
        if sign not in signs or self.kind(1) not in ("number", "open", "operator"):
            return ""
        if self.kind(1) == "operator" and not self._is_negative(1):
            return ""
        self.position += 1
        self.operators += 1
        return sign

    def _attached(self) -> bool:
        """Whether the next token touches the one before it, as the variable in 2x does."""
        return (
            self.position > 0
            and self.tokens[self.position - 1].end == self.tokens[self.position].start
        )

    def _is_negative(self, ahead: int) -> bool:
        """Whether a minus sign touches the number it belongs to."""
        if self.kind(ahead) != "operator" or self.kind(ahead + 1) not in ("number", "open"):
            return False
        sign, operand = self.tokens[self.position + ahead : self.position + ahead + 2]
        return sign.text in "-−–" and sign.end == operand.start

    def _is_sign(self, ahead: int) -> bool:
        """Whether a word multiplies: 3 x 4, 20% of 50, 1/2 of 50; but not 3 of 5."""
        index = self.position + ahead
        if self.kind(ahead) != "word" or self.kind(ahead + 1) not in ("number", "open"):
            return False
        if self.tokens[index].text == "of":
            share = self.tokens[index - 1].text.endswith("%") or (
                index > 1 and self.tokens[index - 2].text in "/÷"
            )
            return index > 0 and share
        return self.tokens[index].text in _SIGNS

    def kind(self, ahead: int) -> str:
        """Kind of the token that many places ahead; "" behind the last."""
        index = self.position + ahead
        return self.tokens[index].kind if index < len(self.tokens) else ""

    def _text(self, ahead: int) -> str:
        return self.tokens[self.position + ahead].text

    def _next(self) -> Token:
        if self.position >= len(self.tokens):
            raise Unparsable
        self.position += 1
        return self.tokens[self.position - 1]


def evaluate(expression: str) -> Fraction | None:
    """The exact value of an expression; None where it is not one, divides by zero or is longer than sense allows."""
    tokens = tokens_of(expression)
    if len(tokens) > LONGEST:
        return None
    parser = Parser(tokens)
    try:
        value = parser.sum()
    except Unparsable:
        return None
    return value if parser.position == len(tokens) else None


def tokens_of(text: str) -> list[Token]:
    """The tokens of any text; what is no arithmetic becomes "word", "stop" or "other"."""
    return [Token(m.lastgroup or "", m[0], m.start(), m.end()) for m in _TOKEN.finditer(text)]


def number_value(number: str) -> Fraction:
    """The value of one number token; a percentage is a fraction of one."""
    digits = number.strip("$£€% ").replace(",", "")
    if len(digits) > LONGEST:
        raise Unparsable
    value = Fraction(int(digits)) if digits.isdecimal() else Fraction(digits)
    return value / 100 if number.endswith("%") else value

"""Arithmetic in running text: find the equations of a rationale, say which hold, complete one.

An equation is `<<lhs=rhs>>` (GSM8K's annotation) or `a op b = c` with + - * / × ÷ x, brackets,
decimals, thousands separators, currency, percentages ("20% of 50"), fractions ("1/2 of 50") and
units behind a number ("3 apples + 8 apples"). Anything else, such as powers and variables, is no
equation here: neither right nor wrong. Text is hostile: nothing is evaluated but exact fractions
of bounded size, in one pass without recursion, in time linear in the text.

    "Ana pays 3 * $4 = $12."      one equation, which holds
    "<<3*4=13>>13"                one equation, which does not
    completion("so 3 * 4 =")   -> " 12"
    completion("so <<3*4=")    -> "12>>12"
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
"""Digits, with thousands separators and decimals: "1,200.50", ".5"."""

# "<<48/2=24>>": what GSM8K's calculator reads.
_ANNOTATION = re.compile(r"<<([^<>\n]*)>>")
# The tokens of a text. `x` and `of` multiply only where a number follows (and, for `of`, a share
# stands before). `unread` is part of a value that is no number: a time, a power, the x of "2x".
# An empty `times` stands between a factor and its bracket: 5(6 + 3). A fraction written tight
# behind an operator that is not, as in 25 / 1/3, is one number.
_TOKEN = re.compile(
    rf"""(?P<stop> \n | -+> | [<>]+ | \*\*(?!\d) )
    | (?P<number> (?!\d+:\d\d) (?: [$£€]\s? )?
        (?: (?<=[/÷×*]\ ) \d+/\d+ (?![\d/]) | (?:{NUMBER}) (?:\s?%)? ) )
    | (?P<times> (?<=[\d%)]) (?=\() )
    | (?P<operator> [-+/×÷−–·] | \*(?!\*) | (?<![^\W\d_]) [xX] (?=\ ?[$£€]?\.?[\d(])
        | (?: (?<=%\ ) | (?<=/\d\ ) | (?<=/\d\d\ ) ) of (?=\ [$£€.\d(]) )
    | (?P<unread> \d+:\d\d | \^ | \*\* | (?<=[\d%)]) [^\W\d_] (?![^\W\d_]) )
    | (?P<open> \( ) | (?P<close> \) ) | (?P<word> [^\W\d_]+ ) | (?P<other> \S )""",
    re.VERBOSE,
)
# The decimals a number is written with: "3.33", ".5%", "$1,200.50".
_DECIMALS = re.compile(r"[^\d.]*[\d,]*\.(\d+)\s?%?")

_SIGNS = {"×": "*", "·": "*", "x": "*", "X": "*", "of": "*", "": "*", "÷": "/", "−": "-", "–": "-"}
_WINDOW = 200
"""Characters a side may have: what is longer is no arithmetic of a rationale."""
_MOST = 1_500
"""Signs of equality that are looked at: a solution has a dozen, and each costs some 30 µs."""
_BITS = 512
"""Size of the largest number: products and digits beyond it cost time and mean nothing."""

_HIDES_A_BEGINNING = {
    "number": ("number",),
    "open": ("number",),
    "operator": ("word", "number", "close", "operator", "unread"),
}
"""Kinds of token that hide an expression's beginning where they stand before one that cannot
continue it: in the mixed number of 10 * 1 1/2, in 5 miles / hour * 3."""

Exact = int | Fraction
Token = tuple[str, int, int]
"""Kind, start and end of a piece of a text."""


@dataclass(frozen=True, slots=True)
class Equation:
    """One written equation: both sides as written and as exact values.

    `result` is the first number of the right side, which a calculator replaces; it begins at
    `right_start` and ends at `result_end`. `calculates` says whether the left side has an operator.
    """

    left: str
    right: str
    result: str
    right_start: int
    result_end: int
    left_value: Exact
    right_value: Exact
    calculates: bool

    @property
    def holds(self) -> bool:
        """Return whether both sides are equal; a decimal may be a cut or rounded value."""
        if _is_written_as(self.left_value, self.right, self.right_value):
            return True
        scaled = "%" in self.left and "%" not in self.right
        return scaled and _is_written_as(self.left_value * 100, self.right, self.right_value)

    @property
    def result_wrong(self) -> bool:
        """Return whether the result is wrong; it is not in `3 * 4 = 12 + 5 = 17`."""
        if not self.calculates or self.holds:
            return False
        result = _right_side(self.result, 0, len(self.result))
        return result is None or not _is_written_as(self.left_value, self.result, result[0])


def find_equations(text: str) -> list[Equation]:
    """Return the equations of a text in order, those inside `<<…>>` as well."""
    if "=" not in text:
        return []
    # An annotation inside a written equation, "3*4=<<3*4=12>>12", is not part of either side.
    bare = _ANNOTATION.sub(lambda found: " " * len(found[0]), text)
    found = list(_equations(bare, 0, len(bare)))
    for annotation in islice(_ANNOTATION.finditer(text), _MOST):
        found += _equations(text, *annotation.span(1))
    return sorted(found, key=lambda equation: equation.right_start)


def equations_key(text: str) -> str:
    """Return what rationales with the same equations in the same order share; "" without any."""
    return ";".join(f"{one.left}={one.right}".replace(" ", "") for one in find_equations(text))


def completion(text: str) -> str | None:
    """Return the result to write behind an opened equation ("… 3 * 4 ="); None where none is."""
    if not text.endswith("="):
        return None
    start = max(0, len(text) - _WINDOW, text.rfind("\n") + 1, text.rfind(". ") + 1)
    annotated = text.rfind("<<", start) > text.rfind(">>", start)
    if annotated:
        start = text.rfind("<<") + 2
    bare = _ANNOTATION.sub(lambda found: " " * len(found[0]), text)
    start = max(start, bare.rfind("=", start, len(bare) - 1) + 1)
    left = _left_side(bare, start, len(bare) - 1)
    if left is None or left.value is None or not left.operators:
        return None
    result = _in_style(left.value, bare[left.start : -1])
    if annotated:
        return f"{result}>>{result}"
    return result if text[-2].isdigit() or text[-2] == ")" else f" {result}"


def repaired(text: str, start: int = 0) -> str | None:
    """Return the text up to its first wrong result, set right; None where no result is wrong.

    What ends before `start` is not looked at; a result that begins before it and ends behind it is.
    """
    for equation in find_equations(text):
        if equation.result_end > start and equation.result_wrong:
            return text[: equation.right_start] + _in_style(equation.left_value, equation.result)
    return None


@dataclass(slots=True)
class _Sum:
    """A sum under construction: `total`, a `term`, and the operator that waits for its operand.

    `whole` says that it began with its bracket; `readable` is lost where its beginning could not be
    read ("2x + 3"), with a division by zero, and where a number grows too large.
    """

    whole: bool = True
    readable: bool = True
    total: Exact = 0
    term: Exact = 0
    waiting: str = "+"
    negative: bool = False
    start: int = -1
    end: int = -1
    operators: int = 0
    words: int = 0
    units: bool = False

    @property
    def value(self) -> Exact | None:
        """The value so far; None where an operand is missing or something could not be read."""
        return None if self.waiting or not self.readable else self.total + self.term

    def take(self, value: Exact | None, start: int, end: int) -> None:
        """Apply the waiting operator to an operand."""
        if value is None or (self.waiting == "/" and not value):
            value, self.readable = 1, False
        value = -value if self.negative else value
        if self.waiting in "+-":
            self.total += self.term
            self.term = value if self.waiting == "+" else -value
        else:
            self.term *= value if self.waiting == "*" else Fraction(1) / value
        if _bits(self.term) + _bits(self.total) > _BITS:
            self.total, self.term, self.readable = 0, 0, False
        self.start = start if self.start < 0 else self.start
        self.waiting, self.negative, self.words, self.end = "", False, 0, end


class _Reader:
    """Reads tokens from left to right; open brackets stand on a stack, so depth costs nothing."""

    def __init__(self, text: str, *, readable: bool = True) -> None:
        self.text, self.stack, self.opened = text, [_Sum(readable=readable)], list[int]()

    def feed(self, kind: str, start: int, end: int) -> bool:
        """Take a token if the expression can go on with it."""
        now = self.stack[-1]
        if kind == "close":
            return self._close(end)
        if not now.waiting:
            if kind in ("operator", "times"):
                now.waiting = _SIGNS.get(self.text[start:end], self.text[start:end])
                now.operators += 1
            elif kind == "word" and now.words < 2:
                now.words, now.units = now.words + 1, True
            else:
                return False
        elif kind == "number":
            now.take(_number(self.text[start:end]), start, end)
        elif kind == "open":
            self.opened.append(start)
            self.stack.append(_Sum())
        elif kind == "operator" and self.text[start] in "-−–":
            # A sign touches its number and nothing before it: "-5", "3 - -8", but not "x-5", "- 5".
            touches = self.text[end : end + 1]
            if not touches or not (touches.isdigit() or touches in "$£€.("):
                return False
            if start and self.text[start - 1].isalnum():
                return False
            now.negative = not now.negative
            now.start = start if now.start < 0 else now.start
        else:
            return kind == "times"
        return True

    def _close(self, end: int) -> bool:
        if not self.opened:
            return False
        inner, start, outer = self.stack.pop(), self.opened.pop(), self.stack[-1]
        if inner.value is None or not inner.whole or not outer.waiting:
            return False
        outer.operators += inner.operators
        outer.take(inner.value, start, end)
        return True


def _left_side(text: str, begin: int, sign: int) -> _Sum | None:
    """Return the longest expression that ends at the sign of equality."""
    start = max(begin, sign - _WINDOW)
    # What a window cuts off could be the beginning of the expression.
    tokens, before = _tokens(text, start, sign), "" if start == begin else "unread"
    reader = _Reader(text, readable=start == begin)
    for kind, first, last in tokens:
        if not reader.feed(kind, first, last):
            readable = kind != "unread" and before not in _HIDES_A_BEGINNING.get(kind, ())
            reader.stack[-1] = _Sum(whole=False, readable=readable)
            reader.feed(kind, first, last)
        before = kind
    return reader.stack[-1] if reader.stack[-1].value is not None else None


def _right_side(text: str, start: int, end: int) -> tuple[Exact, int, int, int, bool] | None:
    """Return value, start, end and operators of the longest expression behind the sign of equality.

    The last item says whether it goes on with something that is no number (= 30 + M trees).
    """
    tokens = _tokens(text, start, min(end, start + _WINDOW))
    reader, read = _Reader(text), None
    for kind, first, last in tokens:
        now = reader.stack[0]
        if not reader.feed(kind, first, last):
            if kind == "unread" or not now.readable:
                return None
            goes_on = kind == "word" and now.operators > 0 and bool(now.waiting)
            return (*read, goes_on) if read else None
        if not reader.opened and now.value is not None and not now.words:
            read = now.value, now.start, now.end, now.operators
    return (*read, False) if read and reader.stack[0].readable else None


def _equations(text: str, begin: int, end: int) -> Iterator[Equation]:
    """Read both sides of every sign of equality, each as far as the next sign."""
    found = islice(re.compile("=").finditer(text, begin, end), _MOST + 1)
    signs = [sign.start() for sign in found]
    bounds = [begin - 1, *signs, end]
    for place, sign in enumerate(signs[:_MOST]):
        left = _left_side(text, bounds[place] + 1, sign)
        right = _right_side(text, sign + 1, bounds[place + 2]) if left else None
        if left is None or left.value is None or right is None:
            continue
        value, first, last, operators, goes_on = right
        result_end = _first_number_end(text, first, last)
        equation = Equation(
            left=text[left.start : sign].strip(),
            right=text[first:last],
            result=text[first:result_end],
            right_start=first,
            result_end=result_end,
            left_value=left.value,
            right_value=value,
            calculates=left.operators > 0,
        )
        # "42 minutes = 42/60 hours" and "3 * 30 = 30 + M" are about more than these numbers.
        vague = goes_on or (left.units and not left.operators)
        if (left.operators or operators) and (equation.holds or not vague):
            yield equation


def _tokens(text: str, start: int, end: int) -> list[Token]:
    found = _TOKEN.finditer(text, start, end)
    return [(token.lastgroup or "", token.start(), token.end()) for token in found]


def _first_number_end(text: str, start: int, end: int) -> int:
    return next(last for kind, _, last in _tokens(text, start, end) if kind == "number")


def _number(written: str) -> Exact | None:
    """Return the value of a number token, a percentage as a fraction of one; None if it is huge."""
    digits = written.strip("$£€% ").replace(",", "")
    if len(digits) > _BITS // 8:
        return None
    value = int(digits) if digits.isdecimal() else Fraction(digits.replace("÷", "/"))
    return Fraction(value, 100) if written.endswith("%") else value


def _bits(value: Exact) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def _is_written_as(exact: Exact, shown: str, value: Exact) -> bool:
    """Return whether `shown`, of this value, writes an exact number: fully, cut off or rounded."""
    if value == exact:
        return True
    decimals = _DECIMALS.fullmatch(shown)
    step = Fraction(1, 10 ** len(decimals[1])) if decimals else Fraction(0)
    candidates, true = [Fraction(value)], Fraction(exact)
    if shown.endswith("%"):
        candidates.append(Fraction(value * 100))
        step /= 100
    return any(
        candidate == true
        or abs(candidate - true) * 2 <= step
        or (candidate * true >= 0 and 0 <= abs(true) - abs(candidate) < step)
        for candidate in candidates
    )


def _in_style(value: Exact, shown: str) -> str:
    """Write a result with the currency or percent sign that all numbers of `shown` have."""
    if "%" in shown and shown.count("%") == len(re.findall(NUMBER, shown)) and "*" not in shown:
        return f"{_decimal(value * 100)}%"
    sign = next((sign for sign in "$£€" if sign in shown), "")
    return f"-{sign}{_decimal(-value)}" if value < 0 else sign + _decimal(value)


def _decimal(value: Exact) -> str:
    """Write a number as people do: exact up to four decimals, else rounded to two."""
    if value.denominator == 1:
        return str(value.numerator)
    exact = (value * 10_000).denominator == 1
    return f"{float(value):.4f}".rstrip("0") if exact else f"{float(round(Fraction(value), 2)):.2f}"

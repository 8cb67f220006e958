"""Numbers: read out of prose in any usual writing, compared by value.

Read: 1,234  1 234  1'234  1.234,5  1,23,456  -5  −5  minus 5  $1,200.50  -$5  5 €  12%  3/4  1 1/2
½  \\frac{3}{4}  1.2e5 1.2 × 10^5  2.5 million, digits of every script, and number words right after
a marker ("The answer is twelve"). Not read: digits inside words (H2O), exponents (cm^2), clock
times (3:15), dates (1/2/2021), versions (1.2.3), and parts of an answer (`_left_open`).

Canonical form: plain decimal without trailing zeros ("1200.5"), a reduced fraction where it does
not end ("1/3"). Units, currency and the percent sign are dropped: data sets write "20" for "20 %".
A lone comma before other than three digits is a decimal comma (1,5), before three digits a
thousands separator (1,234).

    >>> Number().extract("She pays 3 x $4 = $12.00. The answer is $12.00.")
    '12'
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

from cotdistill.answers._left_open import left_open
from cotdistill.answers._number_words import words_to_number
from cotdistill.answers._numerals import NUMERAL, SYMBOLIC, canonical, spell_out, value
from cotdistill.contracts import AnswerType
from cotdistill.records import NO_ANSWER
from cotdistill.text.markers import ascii_digits, concluded, negated, sentence, undecided

_WINDOWS = (40, 128, 512)
"""Characters read from the end before the whole text is; answers stand at the end."""
_REACH = 16
"""Characters before its first digit, or before a window that cuts it, where a number may begin."""

# Where the first number may be.
_DIGIT = re.compile(r"\d")
# What makes a number the first part of a calculation: up to two words, a sign, another number.
_OPERATION = re.compile(
    r"\s{0,3}(?:[^\W\d]{1,30}\s{1,3}){0,2}[)\]]?\s{0,3}"
    r"(?:[-+*/×÷x·−–]|\\times|\\div|\\cdot|(?<=\s)(?:times|plus|minus|divided\s+by|multiplied\s+by|"
    r"mod|(?:more|less|fewer)\s+than)\s|%\s?of\s|percent\s+of\s)\s{0,3}[$(€£]{0,3}\d",
    re.IGNORECASE,
)
# "1/2 of 50" is not 1/2.
_OF = re.compile(r"\s+of\s+[$€£]?\d")
# What a number is rounded to.
_ROUNDED = re.compile(
    r"[^\n.\d]{0,20}\bround(?:s|ed|ing)?\s(?:up\s|down\s|off\s)?to\s(?:about\s)?"
    r"(?!\d+\s(?:decimal|significant|places|digits))"
)
# "- 5" as the whole conclusion; with a line break before it, it is a list.
_LEADING_MINUS = re.compile(r"^[^\S\n]{0,8}-[^\S\n]{1,8}(?=[$€£]?[\d.])")
# "half of 12" is not 12.
_SHARE_OF = re.compile(
    r"\b(?:half|thirds?|quarters?|twice|double|triple)(?:\s+of)?(?:\s+the)?\s*[$€£]?$",
    re.IGNORECASE,
)
# "2x": the number belongs to a letter.
_COEFFICIENT = re.compile(r"[abeinqruvxyz]\b")
# "x = 6".
_SOLVED = re.compile(r"(?<![\w)])[A-Za-z]\s{0,3}=\s{0,3}(?=[-+$]{0,3}\.?\d)")
# What joins two writings of one number.
_OTHER_WRITING = re.compile(
    r"[^\w\n]{0,4}(?:or|i\.e\.|that is|which is|=|≈)\s{0,3},?\s{0,3}(?:exactly |about )?",
    re.IGNORECASE,
)


class Number(AnswerType):
    """A number in any usual writing, compared by value."""

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        return concluded(
            ascii_digits(text),
            markers,
            lambda tail: _first(spell_out(tail)),
            lambda end: _last(spell_out(end)),
            lambda box: _first(spell_out(box).rpartition("=")[2]),
        )

    def gold(self, text: str) -> str | None:
        plain = spell_out(ascii_digits(text)).strip(" .\n")
        found = NUMERAL.search(plain)
        if SYMBOLIC in plain:
            return NO_ANSWER
        if found is None:
            return words_to_number(plain) if len(plain.split()) <= 8 else None
        # One number with its unit ("18 apples", "6 (pens)", "about 5 km") is one; a sentence is
        # none.
        rest = f"{plain[: found.start()]} {plain[found.end() :]}"
        unit = not any(sign.isdigit() for sign in rest) and len(rest.split()) <= 3
        return canonical(found) if unit and "=" not in rest else None

    def same(self, answer: str | None, gold: str | None) -> bool:
        if answer is None or gold is None:
            return False
        if answer == gold:
            return _read(gold) is not None
        one, other = _read(answer), _read(gold)
        if one is None or other is None:
            return False
        if one == other:
            return True
        return close(one, other) or _percent(answer, gold, one, other)


def close(one: str, other: str) -> bool:
    """Return whether two canonical numbers differ by rounding only: six decimals, where at least
    one of them is no integer."""
    if one.lstrip("-").isdigit() and other.lstrip("-").isdigit():
        return False
    first, second = value(one), value(other)
    if first is None or second is None:
        return False
    difference, size = abs(first - second), max(abs(first), abs(second))
    return (difference * 10**6 <= 1 and difference * 10**4 <= size) or difference * 10**12 <= size


def _percent(answer: str, gold: str, one: str, other: str) -> bool:
    """ "50%" equals "0.5" as well as "50"; only where one of the two is written with the sign."""
    if ("%" in answer) == ("%" in gold):
        return False
    with_sign, plain = (one, other) if "%" in answer else (other, one)
    first, second = value(with_sign), value(plain)
    return first is not None and second is not None and first == 100 * second


@lru_cache(maxsize=4096)
def _read(text: str) -> str | None:
    if text.isascii() and text.isdigit() and (text[0] != "0" or len(text) == 1):
        return text
    text = spell_out(ascii_digits(text))
    return _first(text.rpartition("=")[2])


def _candidates(text: str, start: int = 0) -> Iterator[tuple[re.Match[str], str]]:
    digit = _DIGIT.search(text, start)
    for found in NUMERAL.finditer(text, max(start, digit.start() - _REACH)) if digit else ():
        number = canonical(found)
        if number is not None:
            yield found, number


def _first(tail: str) -> str | None:
    """First number of the conclusion; the result where it is written as a calculation; nothing
    where it is left open."""
    if undecided(tail):
        return NO_ANSWER
    tail = _LEADING_MINUS.sub(" -", tail, count=1)
    if SYMBOLIC in (said := sentence(tail)):
        # A root or another expression that is no number: a piece of it would be a guess.
        _, equals, tail = said.rpartition("=")
        if not equals or SYMBOLIC in tail:
            return NO_ANSWER
    for found, number in _candidates(tail):
        if negated(tail, found.start()):
            continue
        before = tail[max(0, found.start() - 120) : found.start()]
        if (
            before.strip(" \t\n.:*$\"'")
            and (spelled := words_to_number(sentence(before))) is not None
        ):
            return spelled
        if _COEFFICIENT.match(tail, found.end()):
            return _solved(tail)
        if _SHARE_OF.search(before):
            return NO_ANSWER
        share = (found["denominator"] or found["part"]) and _OF.match(tail, found.end())
        if share or _OPERATION.match(tail, found.end()):
            return _result(tail[found.start() :])
        if left_open(tail, found):
            return NO_ANSWER
        return _most_exact(tail, found, number)
    return words_to_number(sentence(tail)[:120])


def _solved(algebra: str) -> str | None:
    """Return the value of a letter at the end of some algebra ("2x = 12, x = 6")."""
    ends = [found.end() for found in _SOLVED.finditer(algebra)]
    last = NUMERAL.match(algebra, ends[-1]) if ends else None
    return canonical(last) if last else NO_ANSWER


def _most_exact(tail: str, found: re.Match[str], number: str) -> str:
    """Of "0.33 or 0.3333", "0.33..., that is 1/3" the writing that says most: the second where the
    first is it, rounded."""
    if rounded := _ROUNDED.match(tail, found.end()):
        last = NUMERAL.match(tail, rounded.end())
        return (canonical(last) if last else None) or number
    link = _OTHER_WRITING.match(tail, found.end())
    second = NUMERAL.match(tail, link.end()) if link else None
    other = canonical(second) if second else None
    if other is None or other == number or "/" in number:
        return number
    one, two = value(number), value(other)
    places = len(number.partition(".")[2])
    return (
        other
        if one is not None
        and two is not None
        and places > 0
        and abs(one - two) < Fraction(1, 10**places)
        else number
    )


def _result(calculation: str) -> str | None:
    line = calculation.split("\n", 1)[0]
    while "=" in line:
        line = line.partition("=")[2]
        first = next(_candidates(line), None)
        if first is None:
            return NO_ANSWER
        if not _OPERATION.match(line, first[0].end()):
            return first[1]
    return NO_ANSWER


def _last(text: str) -> str | None:
    """Last number of the text that is asserted; ordinals ("the 3rd day") and list numbers ("2.
    Then") do not count."""
    symbolic = text.rfind(SYMBOLIC)
    for window in (*_WINDOWS, len(text)):
        start = max(0, len(text) - window)
        candidates = list(_candidates(text, start))
        for at in range(len(candidates) - 1, -1, -1):
            found, number = candidates[at]
            if found.start() < symbolic:
                return NO_ANSWER
            whole = not start or found.start() >= start + _REACH
            if whole and not negated(text, found.start()) and not _ordinal(text, found):
                before = candidates[at - 1][0] if at else found
                part = left_open(text, found) or (at and _joined(text, before, found))
                return NO_ANSWER if part else number
        if not start:
            break
    return words_to_number(text) if len(text) <= 60 else NO_ANSWER


# A range, and not a list: of numbers that follow one another the last one may be the answer.
_RANGE = re.compile(r"[^,;&\n]{0,24}$")


def _joined(text: str, before: re.Match[str], found: re.Match[str]) -> bool:
    """Return whether a number belongs to what the one before it began ("2 hours 30 minutes")."""
    between = text[before.end() : found.start()]
    return _RANGE.match(between) is not None and left_open(text, before)


# "3rd" is no number.
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
# "2. Then".
_LIST_MARK = re.compile(r"[.)](?=\s+\S)")
# "Step 2:".
_LABEL = re.compile(r"(?:\bsteps?|\bday|\bline|\bquestion|\bpart|#)\s*$", re.IGNORECASE)


def _ordinal(text: str, found: re.Match[str]) -> bool:
    if _ORDINAL.match(text, found.end()):
        return True
    before = text[max(0, found.start() - 60) : found.start()]
    if _LIST_MARK.match(text, found.end()) and (
        not before.strip() or before.rstrip(" \t").endswith("\n")
    ):
        return True
    return _LABEL.search(before[-12:]) is not None and text[found.end() : found.end() + 1] == ":"

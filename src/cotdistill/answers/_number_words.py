"""English number words up to the trillions, read only where a whole answer is one ("twelve", "six point two dollars")."""

from __future__ import annotations

import re

__all__ = ["words_to_number"]

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: number for number, word in enumerate(_UNITS)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORD = "|".join(sorted([*_SMALL, *_LARGE, "hundred"], key=len, reverse=True))
_SMALL_WORD = "|".join(sorted(_SMALL, key=len, reverse=True))
_START = re.compile(
    rf"[\s\"'*(]*(?:(?:equal\s+to|exactly|about|approximately|only|just|still|a\s+total\s+of|he|she|they|it|there|is|are|has|have)\s+){{0,3}}"
    rf"(?P<minus>(?:minus|negative)\s+)?(?P<words>(?:{_WORD})(?:[\s-]+(?:and\s+)?(?:{_WORD}))*)"
    rf"(?P<point>\s+point(?:[\s-]+(?:{_SMALL_WORD}))+)?\b(?!\s+of\b)(?!-)",
    re.IGNORECASE,
)


def words_to_number(answer: str) -> str | None:
    """The number an answer begins with in words, as digits; None where it does not. "one of them" is no number."""
    found = _START.match(answer)
    if found is None:
        return None
    total, group = 0, 0
    for word in re.findall(r"[a-z]+", found["words"].lower()):
        if word in _SMALL:
            if not _fits(group, _SMALL[word]):
                return None
            group += _SMALL[word]
        elif word == "hundred":
            group = max(group, 1) * 100
        elif word in _LARGE:
            total, group = total + max(group, 1) * _LARGE[word], 0
    number = (
        f"{total + group}.{_decimals(found['point'] or '')}".rstrip("0").rstrip(".")
        if found["point"]
        else str(total + group)
    )
    return f"-{number}" if found["minus"] and number != "0" else number


def _fits(group: int, small: int) -> bool:
    """Whether a small number may follow: after hundreds, or a digit after tens. "five six" is no number."""
    return group % 100 == 0 or (group % 100 >= 20 and group % 10 == 0 and 0 < small < 10)


def _decimals(words: str) -> str:
    """Digits after the point: "six two" is 62, "eighty-seven" is 87, "zero five" is 05."""
    digits = ""
    tens = False
    for word in re.findall(r"[a-z]+", words.lower())[1:]:
        small = _SMALL[word]
        digits = digits[:-1] + str(small) if tens and 0 < small < 10 else digits + str(small)
        tens = small >= 20
    return digits

"""English number words, read only where a whole answer is one: "twelve", "six point two", "two and a half", "a dozen"."""

from __future__ import annotations

import re
from fractions import Fraction

from cotdistill.answers._numerals import from_fraction

__all__ = ["words_to_number"]

_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: number for number, word in enumerate(re.findall(r"\w+", _TO_NINETEEN))}
_SMALL |= {word: 10 * number for number, word in enumerate(re.findall(r"\w+", _TENS), 2)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2,
    "halves": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
}
_PARTS |= {"ninth": 9, "tenth": 10, "hundredth": 100, "thousandth": 1000}


def _any(words: object) -> str:
    return "|".join(sorted(map(str, words), key=len, reverse=True))  # type: ignore[call-overload]


_WORD = _any([*_SMALL, *_LARGE, "hundred"])
_PART = f"(?:{_any(_PARTS)})s?"
_LEAD = r"(?:equal\s+to|exactly|about|approximately|only|just|still|a\s+total\s+of|he|she|they|it|there|is|are|has|have)\s+"
# A number in words at the beginning of an answer; only 120 characters are ever matched.
_START = re.compile(
    rf"""[\s"'*(]* (?:{_LEAD}){{0,3}} (?P<minus>(?:minus|negative)\s+)?
    (?: (?P<only>(?:an?|{_WORD})[\s-]+|)(?P<only_part>{_PART})
      | (?P<words>(?:a\s+(?=hundred|thousand|million|billion|dozen))?(?:(?:{_WORD})(?:[\s-]+(?:and\s+)?(?:{_WORD}))*)?)
        (?P<point>\s+point(?:[\s-]+(?:{_any(_SMALL)}))+)?
        (?:\s+and\s+(?P<more>an?|{_any(_SMALL)})[\s-]+(?P<more_part>{_PART}))?
        (?P<dozen>\s*\bdozen)? )
    \b (?!\s+of\b) (?!-) (?!\s+(?:{_PART})\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def words_to_number(answer: str) -> str | None:
    """The number an answer begins with in words, in canonical form; None where it does not. "one of them" is no number."""
    found = _START.match(answer[:120])
    if found is None:
        return None
    if found["only_part"]:
        return _signed(_parts(found["only"] or "one", found["only_part"]), found)
    total = _whole(found["words"])
    if found["dozen"] and found["words"].strip().lower() in ("", "a"):
        total = Fraction(1)
    if total is None:
        return None
    if found["point"]:
        total += Fraction(f"0.{_decimals(found['point'])}")
    if found["more_part"]:
        more = _parts(found["more"], found["more_part"])
        if more is None:
            return None
        total += more
    return _signed(total * 12 if found["dozen"] else total, found)


def _signed(number: Fraction | None, found: re.Match[str]) -> str | None:
    return None if number is None else from_fraction(-number if found["minus"] else number)


def _parts(count: str, part: str) -> Fraction | None:
    """ "three quarters": 3/4."""
    word = part.lower()
    size = _PARTS.get(word) or _PARTS[word.removesuffix("s")]
    number = _whole(re.sub(r"\ban?\b", "one", count.lower()))
    return None if number is None else number / size


def _whole(words: str) -> Fraction | None:
    """Cardinal words up to the trillions; None for words that do not make one number ("five six")."""
    total, group = 0, 0
    found = re.findall(_WORD, words.lower())
    for word in found:
        if word in _SMALL:
            if group % 100 and not (
                group % 100 >= 20 and group % 10 == 0 and 0 < _SMALL[word] < 10
            ):
                return None
            group += _SMALL[word]
        elif word == "hundred":
            if group >= 100:
                return None
            group = max(group, 1) * 100
        elif word in _LARGE:
            total, group = total + max(group, 1) * _LARGE[word], 0
    return Fraction(total + group) if found else None


def _decimals(words: str) -> str:
    """Digits after the point: "six two" is 62, "eighty-seven" is 87, "zero five" is 05."""
    digits = ""
    tens = False
    for word in re.findall(r"[a-z]+", words.lower())[1:]:
        small = _SMALL[word]
        digits = digits[:-1] + str(small) if tens and 0 < small < 10 else digits + str(small)
        tens = small >= 20
    return digits

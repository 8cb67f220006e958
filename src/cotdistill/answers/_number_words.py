"""English number words, read only where an answer begins with them: "twelve", "six point two", "two
and a half"."""

import re
from fractions import Fraction

from cotdistill.answers._numerals import from_fraction

_SMALL = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen".split()
    )
}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL |= {word: 10 * number for number, word in enumerate(_TENS, 2)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6}
_PARTS |= {"seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100, "thousandth": 1000}
_LEAD = frozenset(
    "equal to exactly about approximately only just still total he she they it there is are has "
    "have of".split()
)
_LONGEST = 120
# Words, or a sign that ends the number; what stands before the first word is punctuation.
_WORD = re.compile(r"[a-z]+|[^a-z\s\"'*(-]")


def words_to_number(answer: str) -> str | None:
    """Return the number an answer begins with in words, in canonical form, or None. "one of them"
    is no number."""
    words = _WORD.findall(answer[:_LONGEST].lower())
    while words and words[0] in _LEAD:
        words.pop(0)
    if words[:2] == ["a", "total"]:
        words = words[3:]
    minus = words[:1] in (["minus"], ["negative"])
    number, rest = _read(words[1:] if minus else words)
    if number is None or rest[:1] == ["of"] or rest[:2] == ["a", "dozen"]:
        return None
    if rest and (rest[0] in _SMALL or _part(rest[0])):
        return None
    if rest[:1] in (["or"], ["to"]) and rest[1:2] and rest[1] in _SMALL:
        return None
    return from_fraction(-number if minus else number)


def _part(word: str) -> int:
    return _PARTS.get(word, 0) or _PARTS.get(word.removesuffix("s"), 0)


def _read(words: list[str]) -> tuple[Fraction | None, list[str]]:
    """Return the number at the beginning of some words, and the words behind it."""
    article = words[:1] in (["a"], ["an"])
    rest = words[1:] if article else words
    first = rest[0] if rest else ""
    if first == "dozen":
        return Fraction(12), rest[1:]
    if _part(first):
        return Fraction(1, _part(first)), rest[1:]
    if article and first not in ("hundred", *_LARGE):
        return None, words
    total, group, seen = 0, 0, False
    while rest:
        word, after = rest[0], rest[1:]
        if word == "and" and seen and after[:1] and (after[0] in _SMALL or after[0] in ("a", "an")):
            if len(after) > 1 and _part(after[1]):
                count = _SMALL.get(after[0], 1)
                return Fraction(total + group) + Fraction(count, _part(after[1])), after[2:]
            if after[0] not in _SMALL:
                break
            rest = after
            continue
        if word in _SMALL:
            low = group % 100
            if low and not (low >= 20 and low % 10 == 0 and 0 < _SMALL[word] < 10):
                return None, rest
            group += _SMALL[word]
        elif word == "hundred" and group < 100:
            group = max(group, 1) * 100
        elif word in _LARGE:
            total, group = total + max(group, 1) * _LARGE[word], 0
        else:
            break
        rest, seen = after, True
    if not seen:
        return None, rest
    number = Fraction(total + group)
    if rest[:1] == ["point"]:
        digits, rest = _decimals(rest[1:])
        number = number + Fraction(f"0.{digits}") if digits else number
    elif rest and _part(rest[0]):
        return number / _part(rest[0]), rest[1:]
    return (number * 12, rest[1:]) if rest[:1] == ["dozen"] else (number, rest)


def _decimals(words: list[str]) -> tuple[str, list[str]]:
    """Return digits behind the point: "six two" is 62, "eighty-seven" is 87, "zero five" is 05."""
    digits, tens = "", False
    while words and words[0] in _SMALL:
        small = _SMALL[words[0]]
        digits = digits[:-1] + str(small) if tens and 0 < small < 10 else digits + str(small)
        tens, words = small >= 20, words[1:]
    return digits, words

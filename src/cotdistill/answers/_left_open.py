"""Numbers that are only a part of what is said: of a range, of several answers, of a measure in two
units, of a calculation in words. No part of such an answer is the answer.

    "3 or 4"    "between 3 and 4"    "2 hours 30 minutes"    "x > 5"    "2 squared"    "3 fifths"
"""

import re
from fractions import Fraction

from cotdistill.answers._numerals import NUMERAL, canonical, value

_DIGITS = r"[$€£¥₹]?\d[\d,.]{0,20}"
_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|"
    "fifty|sixty|seventy|eighty|ninety"
)
# What joins a number to the next one; a unit may stand between where the next one has the same.
_LINK = re.compile(
    r"\s?(?P<unit>[^\W\d]{1,15})?\s{0,2}"
    r"(?P<by>[-–—~]|or|to|and|[,;&]\s?(?:or\s|and\s)?)\s{0,2}[$€£¥₹]?"
)
# A list ends behind its second number, or goes on.
_LISTED = re.compile(r"\s{0,2}(?:[,;.)\]}]|\\[)\]}]|and\b|or\b|\$|$)")
# A number that the sentence goes on from: powers, ratios, bases, parts, larger numbers.
_GOES_ON = re.compile(
    r"""\)?\s?(?:\*\*\s?\d|\^) | \s:\s\d | _\{?\d | [₀-₉] | \s?[\u0300-\u036f] | [CP]\d
      | (?<=0)[box]\d
      | \s?[万萬亿億千] | [ ](?:squared|cubed|factorial|to\ the\ power|choose\ \d)\b
      | [ -](?:tenth|hundredth|thousandth|third|fourth|fifth|sixth|seventh|eighth|ninth)s?\b
      | [ -](?:halves|tens)\b""",
    re.VERBOSE,
)
_LARGER = re.compile(rf"\d|\s(?:and\s)?(?:\d|(?:{_WORDS})\b)")
# Two units of one measure: "2 hours 30 minutes", "5'10\"", "$3 and 50 cents".
_TWO_UNITS = re.compile(
    r"(?:\s?(?:hours?|hrs?|h|feet|foot|ft|'|years?|yrs?|months?|weeks?|days?|minutes?|mins?|pounds?"
    r"|lbs?|dollars?|euros?|km|m|kg|gallons?|yards?|miles?)\.?,?|(?=\sand\s\d{1,3}\s?cents?\b))"
    rf"\s?(?:and\s)?{_DIGITS}\s?(?:minutes?|mins?|seconds?|secs?|s|inch(?:es)?|in|\"|months?|weeks?"
    r"|days?|hours?|hrs?|h|ounces?|oz|cents?|pence|cm|mm|m|g|quarts?|feet|foot|ft)(?![^\W\d])",
)
_ENDS = frozenset(("", ".", "\n", ".\n", "\n\n", "%", "%."))
_SIGNS = frozenset("<>≤≥≠\\")
# Words and signs before a number that make it a bound.
_BOUND = re.compile(
    r"(?:\bbetween\s(?:about\s)?|[\w)]\s[<>≤≥≠]=?\s|\\(?:leq?|geq?|lt|gt|neq?)\s)[$€£¥₹]?$"
)


def left_open(text: str, found: re.Match[str]) -> bool:
    """Return whether the number found is only a part of what is written there."""
    start, end = found.span()
    before = text[max(0, start - 20) : start]
    if ("between" in before or not _SIGNS.isdisjoint(before)) and _BOUND.search(before):
        return True
    if text[end : end + 2] in _ENDS:  # as most answers end: nothing goes on
        return False
    if _GOES_ON.match(text, end) or _TWO_UNITS.match(text, end):
        return True
    if found["scale"] and _LARGER.match(text, end):
        return True
    link = _LINK.match(text, end)
    if link is None:
        return False
    second = NUMERAL.match(text, link.end())
    number, other = canonical(found), canonical(second) if second else None
    if second is None or other is None or _alike(number, other, text[start : second.end() + 2]):
        return False
    by, unit = link["by"].strip(), link["unit"]
    if unit:
        same = re.match(rf"\s?{unit}\b", text[second.end() : second.end() + 20])
        return by in ("-", "–", "—", "~", "or", "to", "and") and same is not None
    return by[:1] not in (",", ";", "&") or _LISTED.match(text, second.end()) is not None


def _alike(number: str | None, other: str, written: str) -> bool:
    """Return whether two numbers are writings of one: "0.33 or 1/3", "50% or 0.5"."""
    one, two = value(number) if number else None, value(other)
    if one is None or two is None:
        return number == other
    if "%" in written and 100 in (one / two if two else 0, two / one if one else 0):
        return True
    decimals = [len(end) for end in ((number or "").partition(".")[2], other.partition(".")[2])]
    rounded = min(filter(None, decimals), default=0)
    return one == two or (rounded > 0 and abs(one - two) < Fraction(1, 10 ** min(rounded, 9)))

"""Yes or no, as the one word that a text concludes with; "true" and "false" count where they
conclude.

A "no" that belongs to a noun ("there is no way") is not an answer, nor is "yes or no", nor a denied
word ("not yes").

    >>> YesNo().extract("There is no doubt about it. The answer is yes.")
    'yes'
"""

import re
from collections.abc import Sequence

from cotdistill.contracts import AnswerType
from cotdistill.records import NO_ANSWER
from cotdistill.text.markers import ascii_digits, concluded, negated, undecided

# A word that says yes or no, and not "yes or no" itself.
_WORD = re.compile(
    r"(?<![\w-])(?:(?P<yes>yes|yeah|yep|true)|(?P<no>no|nope|false))(?![\w'’]|-\w|\.\d)"
    r"(?!\s+(?:or|and|/)\s+(?:yes|no|true|false)\b)"
    r"(?<!yes or no)(?<!yes and no)(?<!no or yes)(?<!true or false)(?<!yes/no)(?!/no\b)",
    re.IGNORECASE,
)
# What may follow a word that is an answer of its own.
_STANDS_ALONE = re.compile(
    r"[\s]*(?:[.,!?;:)\]}\"'”’*<—–-]|$|\n|because\b|since\b|as\b|for\b|"
    r"and\s+the\b|it\b|they\b|he\b|she\b|the\b|this\b)",
    re.I,
)
# Both answers, each in its case.
_DIVIDED = re.compile(r"\b(?:otherwise|others?)\W{1,3}(?:say\s)?(?:yes|no)\b", re.IGNORECASE)
_FRAME = " .!\"'\n"
_SPELLINGS = {
    "yes": "yes",
    "no": "no",
    "true": "yes",
    "false": "no",
    "y": "yes",
    "n": "no",
    "1": "yes",
    "0": "no",
}


class YesNo(AnswerType):
    """Yes or no."""

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        def last(text: str) -> str | None:
            return next(reversed(_words(text, concluding=len(text) <= 24)), NO_ANSWER)

        return concluded(ascii_digits(text), markers, _first, last, _only)

    def gold(self, text: str) -> str | None:
        return _SPELLINGS.get(text.strip(_FRAME).lower())

    def same(self, answer: str | None, gold: str | None) -> bool:
        if answer is None or gold is None:
            return False
        one, other = (_SPELLINGS.get(text.strip(_FRAME).lower()) for text in (answer, gold))
        return one is not None and one == other


def _only(box: str) -> str | None:
    found = set(_words(box, concluding=True))
    return found.pop() if len(found) == 1 else NO_ANSWER


def _first(tail: str) -> str | None:
    if undecided(tail):
        return NO_ANSWER
    return next(iter(_words(tail, concluding=True)), NO_ANSWER)


def _words(text: str, *, concluding: bool) -> list[str]:
    """The answers in order. Where the text is no conclusion, only words that stand alone count, and
    no truth values."""
    found: list[str] = []
    if _DIVIDED.search(text):
        return found
    for word in _WORD.finditer(text):
        alone = _STANDS_ALONE.match(text, word.end()) is not None
        if negated(text, word.start()) or (word["no"] and not alone):
            continue
        if concluding or (alone and word[0].lower() not in ("true", "false")):
            found.append("yes" if word["yes"] else "no")
    return found

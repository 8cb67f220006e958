"""Normal forms of a question's text: what two copies, or two questions of one template, have in
common."""

import re
import unicodedata

# Numbers and names are what two questions of one template differ in.
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"\b[A-Z][a-z]+\b")
_WORD = re.compile(r"\w+")
# What tells two questions apart: decimals, and the signs of a calculation before their operand. A
# hyphen or an asterisk is one before a figure alone, since they join and emphasise words as well.
_TOLD_APART = re.compile(
    r"\d+(?:[.,]\d+)+|\w+|[+×÷/^=<>−·](?=\s?[\w.$\\(])|(?<!\*)[-*](?!\*)(?=\s?[\d.$\\(])"
)


def normalised(text: str) -> str:
    """The text in lower case with single spaces and nothing but words: what two copies have in
    common."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFC", text).lower()))


def question_words(text: str) -> list[str]:
    """Return what two copies of one question have in common, and no other question has: its words
    and signs of calculation ("5 + 3", "5 - 3"), whatever the case, spaces and punctuation."""
    return _TOLD_APART.findall(unicodedata.normalize("NFC", text).lower())


def template(text: str) -> str:
    """The text with every number as 0, every capitalised word as X and single spaces."""
    return " ".join(_NUMBER.sub("0", _NAME.sub("X", text)).split())

"""Normal forms of a question's text: what two copies, or two questions of one template, have in
common."""

import re

# Numbers and names are what two questions of one template differ in.
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"\b[A-Z][a-z]+\b")
WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """The text in lower case with single spaces and nothing but words: what two copies have in
    common."""
    return " ".join(WORD.findall(text.lower()))


def template(text: str) -> str:
    """The text with every number as 0, every capitalised word as X and single spaces."""
    return " ".join(_NUMBER.sub("0", _NAME.sub("X", text)).split())

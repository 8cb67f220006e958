"""Options written into a question's text, as several collections store them, taken out of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from cotdistill.errors import DataError

__all__ = ["letter_of", "split_options"]

_LEAD = re.compile(r"\s*\b(?:answer\s+choices|options|choices)\s*:\s*", re.IGNORECASE)
_MARK = re.compile(r"(?:^|[\s,;])\(?([A-Z])(?:\)|:)\s+")


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """A text as question and options: "Which? Answer choices: (A) red, (B) blue." becomes ("Which?", ("red", "blue")).

    A text that lists no options from (A) on is returned whole.
    """
    leads = list(_LEAD.finditer(text))
    if not leads:
        return text, ()
    lead = leads[-1]
    tail = text[lead.end() :]
    marks = [mark for mark in _MARK.finditer(tail) if mark[1] in "ABCDEFGHIJ"]
    chosen: list[re.Match[str]] = []
    for mark in marks:
        if mark[1] == "ABCDEFGHIJ"[len(chosen) : len(chosen) + 1]:
            chosen.append(mark)
    if len(chosen) < 2 or chosen[0].start() > 1:
        return text, ()
    ends = [mark.start() for mark in chosen[1:]] + [len(tail)]
    options = [
        tail[mark.end() : end].strip().rstrip(",;").strip()
        for mark, end in zip(chosen, ends, strict=True)
    ]
    options[-1] = options[-1].removesuffix(".")
    return text[: lead.start()].rstrip(), tuple(options)


def letter_of(answer: str, options: Sequence[str], place: str, labels: Sequence[str] = ()) -> str:
    """The letter of a gold answer given as a letter, "(B)", a label, or an option's text.

    Raises:
        DataError: it names no option, or there are more options than letters.
    """
    if len(options) > len(ascii_uppercase):
        raise DataError(
            f"{place}: {len(options)} options; there can be {len(ascii_uppercase)}, A–Z: remove some,"
            " or ask for the text with `answer: text` and no options"
        )
    letters = ascii_uppercase[: len(options)]
    plain = answer.strip().strip("().: ")
    if plain in labels:
        return letters[list(labels).index(plain)]
    if answer in options:
        return letters[list(options).index(answer)]
    if len(plain) == 1 and plain.upper() in letters:
        return plain.upper()
    folded = [option.strip().casefold() for option in options]
    if answer.strip().casefold() in folded:
        return letters[folded.index(answer.strip().casefold())]
    raise DataError(
        f"{place}: answer {answer!r} names none of the {len(options)} options; use a letter A–{letters[-1:]}"
    )

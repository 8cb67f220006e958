"""Options written into a question's text, as several collections store them, taken out of it."""

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Literal

from cotdistill.errors import DataError

# What stands before the list of options in a question's text.
_LEAD = re.compile(r"\b(?:answer\s{1,3}choices|options|choices)\s{0,3}:\s*", re.IGNORECASE)
# One option's mark: "(A) ", "A: ".
_MARK = re.compile(r"(?:^|[\s,;])\(?([A-J])(?:\)|:)\s+")
# The same in a field that holds nothing but options, where "A. " and "A)red" are marks too.
_FIELD_MARK = re.compile(r"(?:^|[\s,;|])\(?([A-Ja-j])(?:\)\s*|[:.]\s+)")
_LETTERS = ascii_uppercase[:10]


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """Split a text: "Which? Answer choices: (A) red, (B) blue." is ("Which?", ("red", "blue")).

    A text that lists no options from (A) on is returned whole.
    """
    leads = list(_LEAD.finditer(text))
    if not leads:
        return text, ()
    lead = leads[-1]
    tail = text[lead.end() :]
    options = _marked(tail, _MARK)
    return (text[: lead.start()].rstrip(), options) if options else (text, ())


def lettered_options(field: str) -> tuple[str, ...]:
    """Return the options of a field that lists them by letters: "A) red B) blue"; () for others."""
    lead = _LEAD.match(field)
    return _marked(field[lead.end() :] if lead else field, _FIELD_MARK)


def unlettered(options: tuple[str, ...]) -> tuple[str, ...]:
    """Return options without their own letters where each begins with it: "A) red" is "red"."""
    marks = [_FIELD_MARK.match(option) for option in options]
    letters = "".join(mark[1].upper() if mark else "?" for mark in marks)
    if len(options) < 2 or letters != _LETTERS[: len(options)]:
        return options
    return tuple(o[mark.end() :].strip() for o, mark in zip(options, marks, strict=True) if mark)


def _marked(tail: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """The texts behind the marks A, B, C …, which stand in this order from the very start."""
    chosen: list[re.Match[str]] = []
    for mark in pattern.finditer(tail):
        if mark[1].upper() == _LETTERS[len(chosen) : len(chosen) + 1]:
            chosen.append(mark)
    if len(chosen) < 2 or chosen[0].start() > 1:
        return ()
    ends = [mark.start() for mark in chosen[1:]] + [len(tail)]
    options = [
        tail[mark.end() : end].strip().rstrip(",;|").strip()
        for mark, end in zip(chosen, ends, strict=True)
    ]
    return (*options[:-1], options[-1].removesuffix("."))


def letter_of(
    answer: str,
    options: Sequence[str],
    place: str,
    labels: Sequence[str] = (),
    *,
    index: Literal[0, 1, "text"] | None = None,
) -> str:
    """Return the letter of a gold answer given as a letter, "(B)", a label, an option's text or its
    number.

    Args:
        index: what a number among the options counts from; "text": it is an option's text.

    Raises:
        DataError: it names no option, it may name two, or there are more options than letters.
    """
    if len(options) > len(ascii_uppercase):
        raise DataError(
            f"{place}: {len(options)} options; there can be 26, A–Z: remove some,"
            " or ask for the text with `answer: text` and no options"
        )
    letters = ascii_uppercase[: len(options)]
    plain, folded = answer.strip().strip("().: "), [option.strip().casefold() for option in options]
    position = None
    if plain in labels:
        position = list(labels).index(plain)
    elif index in (0, 1) and plain.isdecimal():
        position = int(plain) - index
    elif index is None and plain.isdecimal() and int(plain) <= len(options):
        raise DataError(
            f"{place}: answer {answer!r} may be the number of an option or its text; set "
            "`answer_index: 0` or `1` (what the first option counts as), or `answer_index: text`"
        )
    elif answer.strip().casefold() in folded:
        exact = [at for at, option in enumerate(options) if option.strip() == answer.strip()]
        alike = [at for at, option in enumerate(folded) if option == answer.strip().casefold()]
        position, *others = exact or alike
        if others:
            raise DataError(
                f"{place}: answer {answer!r} is the text of two options; give its letter, or "
                "remove the row"
            )
    elif len(plain) == 1 and plain.upper() in letters:
        position = letters.index(plain.upper())
    if position is None or not 0 <= position < len(options):
        raise DataError(
            f"{place}: answer {answer!r} names none of the {len(options)} options; "
            f"use a letter A–{letters[-1:]}"
        )
    return letters[position]

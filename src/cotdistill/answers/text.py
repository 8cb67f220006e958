"""Short free text, as in last-letter concatenation: the quoted or final words of the conclusion,
compared without case.

Without marker and box it reads, in this order: a text that is one short line as a whole; the last
quoted words; the words after the last "is", "=", "gives" or "get" at the very end.

    >>> Text().extract('Putting them together gives "a" "b". The answer is "ab".')
    'ab'
"""

import re
import unicodedata
from collections.abc import Sequence

from cotdistill.contracts import AnswerType
from cotdistill.records import NO_ANSWER
from cotdistill.text.markers import INVISIBLE, concluded

# Words in quotes, or set off in bold.
_QUOTED = re.compile(
    r"[\"“”„«]([^\"“”„«»\n]{1,200})[\"“”»]|"
    r"(?<!\w)['‘`]([^'‘’`\n]{1,200})['’`](?!\w)|\*\*([^*\n]{1,200})\*\*"
)
# What the last word of a text is said to be.
_FINAL = re.compile(
    r"(?:\b(?:is|are|gives?|get|becomes|yields?|be)|=|:|→|->)\s*([^\s=:]{1,60})[\s.!]*$",
    re.IGNORECASE,
)
_FRAME = " \t\r\n.,;:!\"'“”‘’«»`*_$()[]{}<>"
# Words before the answer that say nothing.
_LEAD = re.compile(r"^(?:(?:simply|just|therefore|thus|then|:)\s+)+", re.IGNORECASE)
# Text commands around the answer.
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_SPELLED = re.compile(r"[^\W\d_](?:[\s,.–-]+[^\W\d_]){2,}")
"""A word written letter by letter: n a o a."""
# The end of a sentence: a stop that ends the line or stands before a space, not a decimal, a title
# or one of several initials.
_SENTENCE = re.compile(
    r"(?<!\bDr)(?<!\bSt)(?<!\bMr)(?<!\bMs)(?<!\bMt)(?<!\bMrs)(?<!\b[A-Z]\.\s[A-Z])"
    r"(?!(?<=\b[A-Z])\.\s[A-Z]\.)[.!?](?:\s|$)"
)
_MOST_WORDS = 8
_LONG_ANSWER = 4
"""A conclusion of more words is a sentence: its answer is what it says something "is" at its end.
"""


class Text(AnswerType):
    """A short text, compared without case, punctuation around it and runs of white space."""

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        return concluded(text, markers, _concluded, _last, _bare)

    def gold(self, text: str) -> str | None:
        return _bare(text) if len(text) <= 200 and "\n" not in text.strip() else None

    def same(self, answer: str | None, gold: str | None) -> bool:
        if answer is None or gold is None:
            return False
        one = _key(answer)
        return one != "" and one == _key(gold)


def _last(text: str) -> str | None:
    if "\n" not in text.strip() and len(text) <= 200 and len(text.split()) <= _MOST_WORDS:
        short = _FINAL.search(text) if len(text.split()) > 2 and not _QUOTED.search(text) else None
        return _bare(short[1]) if short else _concluded(text)
    quoted = [found for found in _QUOTED.finditer(text) if _bare(found[0])]
    if quoted:
        return _bare(quoted[-1][0])
    final = _FINAL.search(text[-160:])
    return _bare(final[1]) if final else NO_ANSWER


def _concluded(tail: str) -> str | None:
    """The words of a conclusion: its first line; where that holds a quotation at its start or end,
    the quoted words."""
    tail = _LATEX.sub(r"\1", tail) if "\\" in tail else tail
    line = next((line for line in tail.split("\n") if _bare(line)), "").rpartition("=")[2]
    quoted = list(_QUOTED.finditer(line))
    if quoted and not line[: quoted[0].start()].strip(_FRAME):
        return _bare(quoted[0][0])
    if quoted and not line[quoted[-1].end() :].strip(_FRAME):
        return _bare(quoted[-1][0])
    final = _FINAL.search(line) if len(line.split()) > _LONG_ANSWER else None
    if final:
        return _bare(final[1])
    return _bare(_LEAD.sub("", _SENTENCE.split(line.strip(_FRAME), maxsplit=1)[0], count=1))


def _bare(text: str) -> str | None:
    plain = " ".join(_LATEX.sub(r"\1", text).strip(_FRAME).split())
    if _SPELLED.fullmatch(plain):
        plain = "".join(letter for letter in plain if letter.isalnum())
    return plain or NO_ANSWER


def _key(text: str) -> str:
    visible = text if text.isascii() else text.translate(dict.fromkeys(map(ord, INVISIBLE)))
    return " ".join(unicodedata.normalize("NFKC", visible).casefold().strip(_FRAME).split())

"""How every answer kind reads a text: where the conclusion begins, what stands in a box, which characters mean digits.

The precedence is the same for all kinds and is declared here once:

1. what follows the last marker ("The answer is", "-->", "####", ...) that has any text behind it;
2. else the content of the last `\\boxed{...}`;
3. else the last candidate of the text.

A text that has a marker and nothing readable behind it, nor a box, holds NO answer: a number from the middle of the
reasoning would be a guess. Two cuts come first: hidden thinking up to the last `</think>` is dropped, and so is a new
question that a few-shot model goes on to invent after it has answered ("Q: ..." on a line of its own).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

__all__ = [
    "DEFAULT_MARKERS",
    "ascii_digits",
    "boxes",
    "conclusion",
    "last_box",
    "negated",
    "reply",
    "sentence",
]

DEFAULT_MARKERS = (
    "-->",
    "####",
    "The answer is",
    "Therefore, the answer is",
    "answer:",
    "final answer:",
    "the answer (arabic numerals) is",
    "the answer (Yes or No) is",
    "among A through E, the answer is",
)
"""The usual markers; where the caller names none, the built-in patterns also knows their variants ("the final answer would be", ...)."""

_ARROW = re.compile(r"(?<!-)-->(?=[^\n]{0,80}(?:\n|$))")
_GOALS = frozenset(
    "get gets getting find finding derive deriving reach reaching at check checking double-check verify calculate calculating "  # noqa: SIM905
    "confirm for out explain justify".split()
)
"""Words before "answer" that make it the goal of the text that follows, not its result ("Here is how to get the answer: ...")."""
_ARTICLES = frozenset(
    ("the", "our", "this", "that", "your", "my", "an", "to", "same", "final", "correct")
)
_REMARK = re.compile(
    r"[\s*\"']*(?:(?:also|indeed|really|therefore|not|simply)\s+)*(?:(?:correct|right|valid|wrong|incorrect|reasonable|confirmed|verified|"
    r"consistent|different|the\s+same|given(?:\s+below)?|an?\s+(?:\w+\s+)?(?:number|integer|decimal|fraction)|negative|positive)"
    r"(?=\s*(?:[.,;!:)]|$|because\b|since\b|as\b))|to\s+(?:use|divide|multiply|subtract|add|take|find|count|look|compare)\b)",
    re.IGNORECASE,
)
"""What follows "the answer is" and says something about the answer instead of giving it."""
_ANSWER = re.compile(
    r"""\banswers?\s*(?:\([^()\n]{1,40}\)\s*)?(?:[^\S\n]+(?:to|for|of)\s[^.:\n]{1,60}?\s)?
        (?:[*_"']{0,3}\s*[:：][*_"']{0,3}|\s*=|\s+(?:is|are|was|would\ be|should\ be|must\ be|will\ be)\b(?:\s*:)?)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_FOREIGN_WORDS = ("respuesta", "réponse", "risposta", "resposta", "antwort", "ответ", "答案", "答")
_FOREIGN = re.compile(
    r"""(?:respuesta|réponse|risposta|resposta|antwort|ответ)\b\s*(?:(?:correcta|correcte|finale?)\s+)?
          (?::|(?:es|est|è|é|ist|lautet)\b:?|[-—])
      | (?:答案|答え|答)\s*(?:是|为|為|は|[:：])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORDS = (("answer", _ANSWER), *((word, _FOREIGN) for word in _FOREIGN_WORDS))
_WORDS_ASCII = tuple((word, pattern) for word, pattern in _WORDS if word.isascii())

_NEW_QUESTION = re.compile(r"\n\s*(?:Q|Question)\s*:", re.IGNORECASE)
_SOMETHING = re.compile(r"[^\s.:*\"']")
_BRACE = re.compile(r"\\f?boxed?\s*\{|[{}]")
_THINK_END = "</think>"
_NEGATION = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bneither|\bnor|\bcannot|\brather\s+than|\binstead\s+of|\bexcept(?:\s+for)?|\brule[sd]?\s+out|"
    r"\beliminat(?:e|es|ed|ing)|\bexclud(?:e|es|ed|ing))"
    r"(?:\s+(?:be|is|are|the|an?|option|choice|answer|equal|to|exactly|necessarily|just|only|simply|say))*[\s\"'(\[$:]*$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?。！？](?=\s|$|[\"')\]])|\n|。")


@lru_cache(maxsize=256)
def _pattern(markers: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted((marker.strip() for marker in markers), key=len, reverse=True)
    return re.compile(
        "|".join(re.escape(marker) for marker in longest_first if marker) or r"(?!)", re.IGNORECASE
    )


def _marker_ends(text: str, markers: Sequence[str]) -> list[int]:
    """Where each marker of the text ends, in order. Words are found by `str.find`, several times faster than by a pattern."""
    if markers:
        return [found.end() for found in _pattern(tuple(markers)).finditer(text)]
    ends = [arrow.end() for arrow in _ARROW.finditer(text)] if "-->" in text else []
    at = text.find("####")
    while at >= 0:
        ends.append(at + 4)
        at = text.find("####", at + 4)
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)
    for word, pattern in _WORDS_ASCII if text.isascii() else _WORDS:
        at = lower.find(word)
        while at >= 0:
            found = pattern.match(text, at)
            if (
                found
                and not _REMARK.match(text, found.end())
                and not _is_goal(lower[max(0, at - 48) : at])
            ):
                ends.append(found.end())
            at = lower.find(word, at + len(word))
    return sorted(ends) if len(ends) > 1 else ends


def _is_goal(before: str) -> bool:
    """Whether the words before "answer" (lower case) end in a verb of seeking, articles aside."""
    words = before.split()
    while words and words[-1] in _ARTICLES:
        words.pop()
    return bool(words) and words[-1] in _GOALS


def reply(text: str, markers: Sequence[str] = ()) -> str:
    """The part of a model's text that speaks for it: after hidden thinking, before a question it invented itself."""
    cut = text.rfind(_THINK_END)
    if cut >= 0:
        text = text[cut + len(_THINK_END) :]
    if "\n" in text and _NEW_QUESTION.search(text):
        ends = _marker_ends(text, markers)
        question = _NEW_QUESTION.search(text, ends[0]) if ends else None
        if question:
            return text[: question.start()]
    return text


def conclusion(text: str, markers: Sequence[str] = ()) -> str | None:
    """What follows the last marker with text behind it, or None where no marker occurs; "" where all of them are bare."""
    ends = _marker_ends(text, markers)
    for end in reversed(ends):
        if _SOMETHING.search(text, end):
            return text[end:]
    return "" if ends else None


def boxes(text: str) -> list[str]:
    r"""Contents of all `\boxed{...}` and `\fbox{...}` of the text in order, braces matched; an unclosed box is skipped."""
    if "box" not in text:
        return []
    found: list[tuple[int, str]] = []
    open_braces: list[tuple[int, bool]] = []
    for brace in _BRACE.finditer(text):
        if brace[0] != "}":
            open_braces.append((brace.end(), len(brace[0]) > 1))
        elif open_braces:
            start, is_box = open_braces.pop()
            if is_box:
                found.append((start, text[start : brace.start()]))
    return [content for _, content in sorted(found)]


def last_box(text: str) -> str | None:
    r"""Content of the last `\boxed{...}` that is not empty, or None."""
    found = [content for content in boxes(text) if content.strip()]
    return found[-1] if found else None


def negated(text: str, start: int) -> bool:
    """Whether the candidate that begins at `start` is denied by the words before it ("not B", "rather than 12")."""
    return _NEGATION.search(text[max(0, start - 48) : start]) is not None


def sentence(text: str) -> str:
    """The first sentence of a text that is more than white space; line ends close a sentence."""
    text = text.lstrip(" \t\r\n.:;,*")
    end = _SENTENCE_END.search(text)
    return text[: end.start()] if end else text


def _digit_table() -> dict[int, str]:
    table = {
        code: str(unicodedata.decimal(chr(code)))
        for code in range(0x80, 0x1FBFF)
        if chr(code).isdecimal()
    }
    table |= {code: chr(code - 0xFEE0) for code in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
    table |= {ord("−"): "-", ord("－"): "-", ord("﹣"): "-", ord("‐"): "-", ord("‑"): "-"}
    table |= {
        ord("＋"): "+",
        ord("．"): ".",
        ord("，"): ",",
        ord("％"): "%",
        ord("／"): "/",
        ord("⁄"): "/",
        ord("："): ":",
    }
    table |= {
        ord("٫"): ".",
        ord("٬"): ",",
        ord("٪"): "%",
        ord("’"): "'",
        ord("＄"): "$",
        ord("（"): "(",
        ord("）"): ")",
    }
    return table


_DIGITS = _digit_table()


def ascii_digits(text: str) -> str:
    """The text with every script's decimal digits, signs and separators, and wide letters, in ASCII ("٣٫٥", "３．５": "3.5")."""
    return text if text.isascii() else text.translate(_DIGITS)

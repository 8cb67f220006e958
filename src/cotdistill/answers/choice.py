"""Multiple choice: the capital letter of the option a text commits to, by its letter or by its
words.

Read: (B)  [B]  B.  B)  **B**  option B  \\boxed{B}  \\text{(B)}  b) — and the words of an option
where no letter stands. Not read: letters inside words or inside an option's own words ("vitamin
C"), the article "A", options that are denied ("not B", "(E) is wrong"), and enumerations without a
commitment ("A or B", "(A), (B), or (C)"): those hold no answer.

    >>> Choice().extract("(A) is not possible. The answer is forest.", options=("pond", "forest"))
    'B'
"""

import re
from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import NamedTuple

from cotdistill.contracts import AnswerType
from cotdistill.records import NO_ANSWER
from cotdistill.text.markers import ascii_digits, concluded, negated

_LETTERS = "ABCDEFGHIJ"
"""Letters read where the caller gives no options."""

# A letter in brackets.
_WRAPPED = r"[(\[{]\s*([A-Za-z])\s*[)\]}]"
# "option B", "the answer B".
_NAMED = r"\b(?:[Oo]ptions?|[Cc]hoices?|[Aa]nswers?|[Ll]etter)\s+\W{0,3}([A-Za-z])\b(?!')"
# A letter that begins a line.
_LISTED = r"(?:^|\n)[\s*\"']*([A-Za-z])(?=\s*(?:[.):]|\*|$|\n))"
# A capital at the very end.
_ENDING = r"(?<![A-Za-z0-9'’])([A-Z])(?=[\s.*\"'!)$]*$)"
# A capital that stands alone; "A" only where it is no article.
_BARE = (
    r"(?<![A-Za-z0-9'’&])(?:([B-Z])|(A)(?!\s+(?!is\b|because\b|since\b|as\b|and\b|or\b|"
    r"which\b|but\b|for\b|from\b)[a-z]))"
    r"(?![A-Za-z0-9'’&+#]|\.[A-Za-z])"
)
# Tried in this order: a letter in brackets says more than a bare one.
_STRONG = re.compile("|".join((_WRAPPED, _NAMED, _LISTED, _ENDING)))
_AFTER_MARKER = re.compile("|".join((_WRAPPED, _NAMED, _BARE)))
# A letter that a conclusion begins with.
_OPENS = re.compile(r"[\s*:\"']{0,4}[(\[]?([A-J])(?:[)\]]|(?=\s{0,2}[,.;:]|\s{0,2}$))")
# A letter and nothing else.
_LONE = re.compile(r"\W*([A-Za-z])[^\w+#]*$")
# Words behind an option that deny it.
_DENIED = re.compile(
    r"[)\].:\"']*\s*(?:(?!because\b|since\b|as\b|so\b|but\b|and\b|or\b)[\w-]+\s+){0,4}?"
    r"(?:is|are|was|can|could|would|does|do)"
    r"(?:n['’]t\b|not\b|\s+(?:\w+\s+)?(?:not|wrong|incorrect|false|eliminated|out|"
    r"impossible|unlikely|(?:also\s+)?(?:an?\s+)?possib(?:le|ility))\b)"
)
# Words that join options to a list.
_LINK = re.compile(
    r"\b(?:and/or|and|or|either|possibly|maybe|perhaps|option|choice)\b", re.IGNORECASE
)
# Text commands around a letter.
_LATEX = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*")
# Another letter right before, joined by a comma or "or".
_LISTED_BEFORE = re.compile(r"(?<![A-Za-z0-9'])[A-Z]\)?\s*(?:[,/]\s*(?:or|and)?|\bor|\band)\s*$")
_SHORT = 40
"""A text of at most this many characters is read like a conclusion."""
# One sentence or line.
_SENTENCE = re.compile(r"[^\n]+?(?:[.!?。！？](?=\s+[A-Z(\"'])|\n|$)")


class _Candidate(NamedTuple):
    letter: str
    start: int
    end: int


class Choice(AnswerType):
    """The letter of one option, named by letter or by its words."""

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        letters = ascii_uppercase[: len(options)] if options else _LETTERS
        return concluded(
            ascii_digits(text),
            markers,
            lambda tail: _committed(tail, letters, options),
            lambda end: _last(end, letters, options),
            lambda box: _committed(_LATEX.sub("", box), letters, options),
        )

    def same(self, answer: str | None, gold: str | None) -> bool:
        if answer is None or gold is None:
            return False
        one, other = _LONE.match(answer), _LONE.match(gold)
        return one is not None and other is not None and one[1].upper() == other[1].upper()


def _committed(tail: str, letters: str, options: Sequence[str]) -> str | None:
    """Return the option the conclusion commits to.

    Its first sentence that names an option decides; after a denial only letters count.
    """
    lone = _LONE.match(tail)
    if lone is not None and (answer := _known(lone[1], letters)) is not None:
        return answer
    opens = _OPENS.match(tail)
    if opens and opens[1] not in letters and not any(o.startswith(opens[1]) for o in options):
        return NO_ANSWER  # it commits to a letter that no option has
    if "\\" in tail:
        tail = _LATEX.sub("", tail)
    denied = False
    for sentence in _SENTENCE.finditer(tail):
        named = list(_named(_AFTER_MARKER, sentence[0], letters, options))
        if not named and not denied:
            named = list(_by_words(sentence[0], letters, options))
        kept = [candidate for candidate in named if not _denied(sentence[0], candidate, options)]
        if kept:
            return NO_ANSWER if _enumerated(sentence[0], kept, options) else kept[0].letter
        denied = denied or bool(named)
    return NO_ANSWER


def _last(text: str, letters: str, options: Sequence[str]) -> str | None:
    """Without marker and box: the last option named by letter and not denied, else the last one
    named by its words."""
    if len(text) <= _SHORT:
        return _committed(text, letters, options)
    for named in (_named(_STRONG, text, letters, options), _by_words(text, letters, options)):
        kept = [candidate for candidate in named if not _denied(text, candidate, options)]
        if kept:
            before = text[max(0, kept[-1].start - 20) : kept[-1].start]
            listed = _enumerated(text, kept[-2:], options) or _LISTED_BEFORE.search(before)
            return NO_ANSWER if listed else kept[-1].letter
    return NO_ANSWER


def _known(letter: str, letters: str) -> str | None:
    return letter.upper() if letter.upper() in letters else NO_ANSWER


def _named(
    pattern: re.Pattern[str], text: str, letters: str, options: Sequence[str]
) -> Iterator[_Candidate]:
    for found in pattern.finditer(text):
        group = found.lastindex
        assert group is not None
        letter, wrapped = found[group], group == 1
        if letter.islower() and not wrapped and found.end() != len(text.rstrip()):
            continue
        if letter.upper() in letters and (
            wrapped or not _inside_words(text, found.start(group), letter, options)
        ):
            yield _Candidate(letter.upper(), found.start(), found.end())


def _inside_words(text: str, position: int, letter: str, options: Sequence[str]) -> bool:
    """Return whether the letter at `position` belongs to the words of an option ("vitamin C"), or
    to the first of them ("hepatitis B" of "hepatitis B virus")."""
    before = text[max(0, position - 30) : position].split()[-1:] if text[:position] else []
    begun = f"{before[0]} {letter}".casefold() if before and len(before[0]) > 3 else ""
    for option in options:
        if begun and option.casefold().startswith(begun):
            return True
        offset = option.find(letter) if len(option) > 1 else -1
        while offset >= 0:
            begin = position - offset
            if begin >= 0 and text[begin : begin + len(option)].casefold() == option.casefold():
                return True
            offset = option.find(letter, offset + 1)
    return False


def _by_words(text: str, letters: str, options: Sequence[str]) -> Iterator[_Candidate]:
    """Options whose words stand in the text, in order; of overlapping ones the longest."""
    lower = text.lower()
    found: list[_Candidate] = []
    for letter, option in zip(letters, options, strict=False):
        words = " ".join(option.lower().split()).strip(" .,;:\"'")
        start = lower.find(words) if words else -1
        while start >= 0:
            end = start + len(words)
            if _whole(lower, start, end):
                found.append(_Candidate(letter, start, end))
            start = lower.find(words, end)
    found.sort(
        key=lambda candidate: (candidate.start, candidate.start - candidate.end, candidate.letter)
    )
    reached = 0
    for candidate in found:
        if candidate.start >= reached:
            reached = candidate.end
            yield candidate


def _whole(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 2]
    if before.isalnum() or after[:1].isalnum() or after[:1] in ("%", "+", "#"):
        return False
    if after[:1] == "-" and after[1:].isalpha():
        return False
    if before == "-" and (text[start].isdigit() or text[start - 2 : start - 1].isalpha()):
        return False
    digits_before = (
        text[start].isdigit()
        and before in (".", ",", "/")
        and text[start - 2 : start - 1].isdigit()
    )
    return not (
        digits_before
        or (text[end - 1].isdigit() and after[:1] in (".", ",", "/") and after[1:].isdigit())
    )


def _denied(text: str, candidate: _Candidate, options: Sequence[str]) -> bool:
    """Return whether the words before or after an option deny it; its own words may stand between
    ("(E), "dark," is not ...")."""
    if negated(text, candidate.start):
        return True
    end = candidate.end
    position = ord(candidate.letter) - ord("A")
    if position < len(options):
        rest = text[end:].lstrip(" )],:.\"'“(")
        words = options[position].strip(" .")
        if words and rest[: len(words)].casefold() == words.casefold():
            tail = rest[len(words) :]
            end = len(text) - len(tail.lstrip(" ,)\"'”"))
            return _DENIED.match(" " + text[end:]) is not None
    return _DENIED.match(text, end) is not None


def _enumerated(text: str, named: Sequence[_Candidate], options: Sequence[str]) -> bool:
    """Return whether two different options stand side by side, joined by nothing but commas, "or",
    "and" and their own words."""
    if len(named) < 2 or named[0].letter == named[1].letter:
        return False
    between = text[named[0].end : named[1].start]
    position = ord(named[0].letter) - ord("A")
    if position < len(options) and options[position]:
        between = between.lower().replace(options[position].lower().strip(" ."), " ", 1)
    return len(between) <= 200 and not _LINK.sub("", between).strip(" \t\n,/&;:)(].[\"'*")

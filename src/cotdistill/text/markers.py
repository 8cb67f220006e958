"""Reading of a text, shared by the answer types: its conclusion, its boxes, its digits.

The precedence is the same for all types and is declared here once, in `concluded`:

1. what follows the last marker ("The answer is", "-->", "####", "<answer>", ...) that has any text
behind it, and of that what takes it back ("12. No, wait, 15"); 2. else the content of the last
`\\boxed{...}`, together with those that "or", "and" or a comma joins to it; 3. else the last
candidate of the text, unless it begins as a refusal.

A text that has a marker or a box and nothing readable in either holds NO answer: a number from the
middle of the reasoning would be a guess. Two cuts come first: hidden thinking is dropped, and
so is a new question that a few-shot model goes on to invent after it has answered ("Q: ..." on a
line of its own).

Texts are hostile: every repeat in a pattern is bounded or over a class that nothing next to it
shares, and of a conclusion or a text without one no more than `WINDOW` characters are read, so that
time grows with the length alone.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from cotdistill.text.thinking import split_thinking

WINDOW = 2000
"""Characters that are read of a conclusion, or from the end of a text: answers stand there."""

# An arrow as the last one of its line: "a --> b" in the middle of a derivation is none.
_ARROW = re.compile(r"(?<!-)-->(?=[^\n]{0,80}(?:\n|$))")
_GOALS = frozenset(
    "get gets getting find finding derive deriving reach reaching at check checking "
    "double-check verify calculate calculating confirm for out explain justify".split()
)
"""Words before "answer" that make it the goal of what follows ("Here is how to get the answer:
...")."""
_ARTICLES = frozenset(
    ("the", "our", "this", "that", "your", "my", "an", "to", "same", "final", "correct")
)
# What follows "the answer is" and says something about the answer instead of giving it.
_REMARK = re.compile(
    r"[\s*\"']{0,4}(?:(?:also|indeed|really|therefore|not|simply)\s{1,3}){0,3}(?:(?:correct|right|"
    r"valid|wrong|incorrect|reasonable|confirmed|verified|consistent|different|the\s{1,3}same|"
    r"given(?:\s{1,3}below)?|an?\s{1,3}(?:\w{1,20}\s{1,3})?(?:number|integer|decimal|fraction)|"
    r"negative|positive)(?=\s{0,3}(?:[.,;!:)]|$|because\b|since\b|as\b))"
    r"|to\s{1,3}(?:use|divide|multiply|subtract|add|take|find|count|look|compare)\b)",
    re.IGNORECASE,
)
# "answer", what it is the answer to, and a colon, an equals sign or a form of "to be".
_ANSWER = re.compile(
    r"""\banswers?(?:\s{0,3}\([^()\n]{1,40}\))?
        (?:[^\S\n]{1,3}(?:to|for|of)\s[^.:\n]{1,60}?(?=\s|[:：=*_"']))?
        \s{0,3}(?:[*_"']{0,3}\s{0,3}[:：][*_"']{0,3}
          |=|(?<=\s)(?:is|are|was|would\ be|should\ be|must\ be|will\ be)\b(?:\s{0,3}:)?)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_FOREIGN_WORDS = ("respuesta", "réponse", "risposta", "resposta", "antwort", "ответ", "答案", "答")
# The same in other languages, from the word itself.
_FOREIGN = re.compile(
    r"""(?:respuesta|réponse|risposta|resposta|antwort|ответ)\b
          \s{0,3}(?:(?:correcta|correcte|finale?)\s{1,3})?
          (?::|(?:es|est|è|é|ist|lautet)\b:?|[-—])
      | (?:答案|答え|答)\s{0,3}(?:是|为|為|は|[:：])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORDS = (("answer", _ANSWER), *((word, _FOREIGN) for word in _FOREIGN_WORDS))

# "Final answer" as a line of its own, and what may stand before it there.
_HEADING = re.compile(r"answers?[*_#:]{0,4}[^\S\n]{0,8}\n", re.IGNORECASE)
_HEADS = frozenset(("", "final", "the", "my", "the final", "my final"))

# A few-shot model's next question, on a line of its own.
_NEW_QUESTION = re.compile(r"\n[^\S\n]{0,8}(?:Q|Question)[^\S\n]{0,3}:", re.IGNORECASE)
# The first character behind a marker that says something.
_SOMETHING = re.compile(r"[^\s.:*\"']")
_BRACE = re.compile(r"\\f?boxed?\s{0,3}\{|[{}]")
# The tags around an answer, as prompts ask for them.
_TAG = re.compile(r"[<\[](?:final[ _-]?)?answer[>\]]", re.IGNORECASE)
_TAG_END = re.compile(r"[<\[]/(?:final[ _-]?)?answer[>\]]", re.IGNORECASE)
# What joins the last boxes of a text to one answer.
_JOINT = re.compile(
    r"[\s$\\()]{0,8}(?:,|;|\\?\b(?:or|and)\b|\\text\{ ?(?:or|and) ?\}){1,2}[\s$\\()]{0,8}"
)
# What was crossed out.
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(del|s)>[^<\n]{1,200}</\1>", re.IGNORECASE)
# Tags of HTML that only say how a text looks.
_FORMAT = re.compile(r"</?(?:b|i|u|em|strong|code|span|p|mark|small)>", re.IGNORECASE)
# What takes back a conclusion: its answer is what follows.
_CORRECTION = re.compile(
    r"\bwait\b\s?[,.!:…—–-]{1,3}|\bno,?\swait\b,?|\bsorry[,.:!]|\bcorrection\s?:|\bscratch\sthat\b"
    r"|\bI\smean\b|[(,;—–]\s?(?:or\s)?actually,?\s(?:it(?:['’]s|\sis)\s)?(?=[-$€£(]{0,2}\d)",
    re.IGNORECASE,
)
# A question that the next words confirm: "Wait, is that right? Yes".
_CHECK = re.compile(r"\b(?:right|correct|true|sure)\s?\?", re.IGNORECASE)
_WITHDRAWN = re.compile(r"\b(?:wrong|incorrect|mistaken?|error)\b", re.IGNORECASE)
_SHORT = 40
"""A correction of at most so many characters is read like a conclusion, a longer one from its end.
"""
# A reply that says it will give no answer; the numbers and letters in it answer nothing.
_REFUSAL = re.compile(
    r"\W{0,3}(?:(?:I['’]m|I\sam)\s(?:very\s|so\s)?sorry\W{1,3}|sorry\W{1,3}|unfortunately\W{1,3}|"
    r"as\san\sAI[^,.]{0,40}\W{1,2}|I\sapologi[sz]e\W{1,3})?(?:but\s)?(?:I\s(?:can['’]?t|cannot"
    r"|can\snot|"
    r"won['’]t|am\s(?:unable|not\sable)\sto)|I['’]m\s(?:unable|not\sable)\sto|"
    r"(?:the|this)\s(?:answer|question|problem)\s(?:can['’]?t|cannot)\sbe|it\sis\s(?:impossible"
    r"|not\spossible)"
    r"\sto)\s(?:\w{1,12}\s)?(?:answer|help|assist|provide|comply|solve|determine|fulfil+|tell"
    r"|say|know)",
    re.IGNORECASE,
)
# A conclusion that there is no answer.
_UNDECIDED = re.compile(
    r"[\s:*\"'$(]{0,4}(?:that\s)?(?:there\s(?:is|are)\s|it\s)?(?:impossible|undefined|unknown|"
    r"indeterminate|unclear|insufficient|ambiguous|depends|can(?:not|['’]t)\sbe|not\s(?:enough"
    r"|possible|"
    r"defined|known|determin)|no\s(?:solutions?|answer|such|real|way|valid)\b|n/?a\b"
    r"|does\snot\sexist)",
    re.IGNORECASE,
)
# A denial in the few words before a candidate.
_NEGATION = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bneither|\bnor|\bcannot|\brather\s+than|\binstead\s+of|"
    r"\bexcept(?:\s+for)?|\banything\s+but|\bunlikely|\brule[sd]?\s+out|\beliminat(?:e|es|ed"
    r"|ing)|\bexclud(?:e|es|ed|ing))"
    r"(?:\s+(?:be|is|are|the|an?|option|choice|answer|equal|to|exactly|necessarily|just|only|"
    r"simply|say)){0,6}[\s\"'(\[$:]*$",
    re.IGNORECASE,
)
# Where a sentence ends; a decimal point is no end.
_SENTENCE_END = re.compile(r"[.!?。！？](?=\s|$|[\"')\]])|\n|。")


@lru_cache(maxsize=256)
def _pattern(markers: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted((marker.strip() for marker in markers), key=len, reverse=True)
    return re.compile(
        "|".join(re.escape(marker) for marker in longest_first if marker) or r"(?!)", re.IGNORECASE
    )


def _places(text: str, word: str) -> Iterator[int]:
    """Yield where a word begins; `str.find` is several times faster than a pattern."""
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _marker_ends(text: str, markers: Sequence[str]) -> list[int]:
    """Return where each marker of the text ends, in order; tags count whatever the markers are."""
    ends = [tag.end() for tag in _TAG.finditer(text)] if "<" in text or "[" in text else []
    if markers:
        return sorted(ends + [found.end() for found in _pattern(tuple(markers)).finditer(text)])
    ends += [arrow.end() for arrow in _ARROW.finditer(text)] if "-->" in text else []
    ends += [at + 4 for at in _places(text, "####")]
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(small if len(small := one.lower()) == 1 else one for one in text)
    for word, pattern in (
        _WORDS if not text.isascii() else [one for one in _WORDS if one[0].isascii()]
    ):
        for at in _places(lower, word):
            found = pattern.match(text, at) or _heading(text, at)
            remark = found and _REMARK.match(text, found.end())
            if found and not remark and not _is_goal(lower[max(0, at - 48) : at]):
                ends.append(found.end())
    return sorted(ends)


def _heading(text: str, at: int) -> re.Match[str] | None:
    """Return the match of "answer" at the end of a heading, "### Final Answer"."""
    found = _HEADING.match(text, at)
    before = text[max(text.rfind("\n", 0, at) + 1, at - 24) : at] if found else ""
    return found if before.strip("#*_ \t").lower() in _HEADS else None


def _is_goal(before: str) -> bool:
    """Return whether the words before "answer" (lower case) end in a verb of seeking, articles
    aside."""
    words = before.split()
    while words and words[-1] in _ARTICLES:
        words.pop()
    return bool(words) and words[-1] in _GOALS


def reply(text: str, markers: Sequence[str] = ()) -> str:
    """Return the part of a model's text that speaks for it: behind its thinking, before a question
    it invented itself."""
    text = split_thinking(text)[1]
    # Thinking may also end behind other text; a cut to the last end is what all models mean.
    text = text[text.rfind("</think>") + len("</think>") :] if "</think>" in text else text
    if "~~" in text or "</" in text:
        text = _FORMAT.sub("", _STRUCK.sub("", text))
    if "\n" in text and _NEW_QUESTION.search(text):
        ends = _marker_ends(text, markers)
        question = _NEW_QUESTION.search(text, ends[0]) if ends else None
        if question:
            return text[: question.start()]
    return text


def conclusion(text: str, markers: Sequence[str] = ()) -> str | None:
    """Return what follows the last marker with text behind it; None without a marker, "" where all
    of them are bare."""
    ends = _marker_ends(text, markers)
    for end in reversed(ends):
        found = _SOMETHING.search(text, end)
        if found and not _TAG_END.match(text, found.start()):
            start = max(end, found.start() - 40)
            close = _TAG_END.search(text, start, start + WINDOW)
            return text[start : close.start() if close else start + WINDOW]
    return "" if ends else None


def concluded(
    text: str,
    markers: Sequence[str],
    first: Callable[[str], str | None],
    last: Callable[[str], str | None],
    boxed: Callable[[str], str | None] | None = None,
) -> str | None:
    """Return the answer of a text by the one precedence: its conclusion, its last box, its last
    candidate.

    `first` reads a conclusion, `boxed` a box (default: `first`), and `last` the end of a text that
    has neither.
    """
    text = reply(text, markers)
    tail = conclusion(text, markers)
    if tail is not None:
        # A conclusion of a few characters takes nothing back.
        found = _CORRECTION.finditer(tail) if len(tail) > 8 else ()
        correction = next(reversed([*found]), None)
        behind = tail[correction.end() :] if correction else ""
        if correction and not _CHECK.search(behind):
            answer = (first if len(behind.strip()) <= _SHORT else last)(behind)
            if answer is not None or _WITHDRAWN.search(behind):
                return answer
        boxes = _boxes(tail) if tail.lstrip(" $*:(").startswith("\\box") else []
        if (answer := (boxed or first)(boxes[0]) if boxes else first(tail)) is not None:
            return answer
    box = last_box(text)
    if box is not None:
        return (boxed or first)(box[:WINDOW])
    return None if tail is not None or _REFUSAL.match(text) else last(text[-WINDOW:])


def undecided(tail: str) -> bool:
    """Return whether a conclusion is that there is no answer ("cannot be determined")."""
    return _UNDECIDED.match(tail) is not None


def last_box(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` or `\fbox{...}` that is not empty, braces
    matched, or None; those that "or", "and" or a comma joins to it stand before it."""
    boxes = _boxes(text)
    return boxes[-1] if boxes else None


def _boxes(text: str) -> list[str]:
    """Return the contents of the innermost boxes, in order, joined ones as one; an unclosed box is
    skipped."""
    open_braces: list[tuple[int, bool]] = []
    found: list[str] = []
    start_of_last = end_of_last = -1
    for brace in _BRACE.finditer(text) if "box" in text else ():
        if brace[0] != "}":
            open_braces.append((brace.end(), len(brace[0]) > 1))
            continue
        start, is_box = open_braces.pop() if open_braces else (0, False)
        if not is_box or start <= start_of_last:
            continue
        content = text[start : brace.start()]
        if not content[:WINDOW].strip():
            continue
        between = text[end_of_last + 1 : text.rfind("\\", 0, start)] if found else ""
        if not _JOINT.fullmatch(between):
            found.append(content)
        elif content != found[-1]:
            found[-1] += f", {content}"
        start_of_last, end_of_last = start, brace.start()
    return found


def negated(text: str, start: int) -> bool:
    """Return whether the candidate that begins at `start` is denied by the words before it ("not
    B", "rather than 12")."""
    return _NEGATION.search(text[max(0, start - 48) : start]) is not None


def sentence(text: str) -> str:
    """Return the first sentence of a text that is more than white space; line ends close a
    sentence."""
    text = text.lstrip(" \t\r\n.:;,*")
    end = _SENTENCE_END.search(text)
    return text[: end.start()] if end else text


INVISIBLE = "".join(
    map(chr, (0xAD, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF))
)
"""Joiners, marks of direction and spaces without width: they may stand inside of a number."""
# Signs, separators and wide letters of other scripts, and every script's decimal digits.
_ASCII: dict[int, str | int] = dict(
    str.maketrans("−－﹣‐‑＋．，％／⁄：٫٬٪’＄（）", "-----+.,%//:.,%'$()")
)
_ASCII |= dict.fromkeys(map(ord, INVISIBLE), "")
_ASCII |= {code: chr(code - 0xFEE0) for code in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_ASCII |= {
    code: str(unicodedata.decimal(chr(code)))
    for code in range(0x80, 0x1FBFF)
    if chr(code).isdecimal()
}


def ascii_digits(text: str) -> str:
    """Return the text with every script's decimal digits, signs and separators, and wide letters,
    in ASCII ("٣٫٥", "３．５": "3.5")."""
    return text if text.isascii() else text.translate(_ASCII)

"""Contamination: which test questions a model may have seen, in training or in exemplars.

Four looks, from strict to loose: the same text; the same template (numbers and capitalised words
normalised, so that "Ana has 3 pens" and "Bob has 9 pens" are one); a text that is nearly the same
(edit similarity of at least 90 of 100, by rapidfuzz where it is installed); and 13 words in a row
of a test question inside a rationale of another question (the length is that of Brown et al. 2020,
appendix C). Seen templates are no fault of a method, but an accuracy on them does not show
reasoning: the published 70/30 split of MultiArith has a training twin for 180 of 180 test
questions.
"""

import importlib.util
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from cotdistill.records import Question, Rationale, Record
from cotdistill.text.templates import normalised, template

QUOTED_WORDS = 13
LEAST_WORDS = 8
"""A test question shorter than this is quoted by chance and not looked for in rationales."""
NEAR = 90.0
_MOST_PAIRS = 30_000_000
"""Above so many pairs near-duplicates are not looked for (half a minute on one core)."""


@dataclass(frozen=True, slots=True)
class Overlap(Record):
    """Test questions (ids) that have a twin elsewhere, of `total`; `examples` names some twins."""

    total: int
    ids: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{len(self.ids)}/{self.total}"


@dataclass(frozen=True, slots=True)
class Contamination(Record):
    """All overlaps of one task's test split; None where a look was not possible (see `notes`)."""

    exact: Overlap
    template: Overlap
    near: Overlap | None
    exemplars_exact: Overlap
    exemplars_template: Overlap
    rationales: Overlap
    within_test: Overlap
    notes: tuple[str, ...] = ()


def contamination_report(
    train: Iterable[Question],
    test: Iterable[Question],
    exemplars: Iterable[Question] = (),
    rationales: Iterable[Rationale] = (),
    *,
    near: bool = True,
) -> Contamination:
    """Return the overlaps between what a model learns from and what it is tested on.

    Training questions and rationales are gone through once, and only what meets the test split is
    held in memory.
    """
    test, exemplars = list(test), list(exemplars)
    can = near and importlib.util.find_spec("rapidfuzz") is not None
    with _Training(train, test, near=can) as seen:
        rationale_overlap = _overlap(test, _quoted(seen, test, rationales))
    notes = []
    if near and not can:
        notes.append("near-duplicates not looked for: pip install 'cotdistill[contamination]'")
    elif near and seen.near is None:
        pairs = f"{seen.count} × {len(test)} pairs"
        notes.append(f"near-duplicates not looked for: {pairs} are too many")
    return Contamination(
        exact=_overlap(test, _same(seen.exact, normalised)),
        template=_overlap(test, _same(seen.templates, template)),
        near=_overlap(test, _nearest(seen.near)) if seen.near is not None else None,
        exemplars_exact=_overlap(test, _same(_first(exemplars, normalised), normalised)),
        exemplars_template=_overlap(test, _same(_first(exemplars, template), template)),
        rationales=rationale_overlap,
        within_test=_overlap(test, _earlier()),
        notes=tuple(notes),
    )


class _Training:
    """Training questions, gone through once.

    `exact` and `templates` are the ids of the first questions of a form that a test question has,
    `near` the texts with their ids, None where near-duplicates are not looked for.
    """

    def __init__(self, train: Iterable[Question], test: Sequence[Question], *, near: bool) -> None:
        self.exact: dict[str, str] = {}
        self.templates: dict[str, str] = {}
        self.near: list[tuple[str, str]] | None = [] if near else None
        self.count = 0
        self._plain = {_plain(question) for question in test}
        self._templates = {template(question.block) for question in test}
        self._pairs = len(test)
        # A database without a name is a temporary file, and in memory while it is small.
        self._texts = sqlite3.connect("")
        self._texts.execute("CREATE TABLE texts (id BLOB PRIMARY KEY, text BLOB) WITHOUT ROWID")
        rows = ((_bytes(one.id), _bytes(self._look(one))) for one in train)
        self._texts.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?)", rows)

    def _look(self, question: Question) -> str:
        text, form = _plain(question), template(question.block)
        self.count += 1
        if text in self._plain:
            self.exact.setdefault(text, question.id)
        if form in self._templates:
            self.templates.setdefault(form, question.id)
        if self.near is not None:
            self.near.append((question.id, text))
            if self.count * self._pairs > _MOST_PAIRS:
                self.near = None
        return text

    def text(self, id: str) -> str:
        """Return the normalised text of a question, "" for one that is not there."""
        found = self._texts.execute("SELECT text FROM texts WHERE id = ?", (_bytes(id),)).fetchone()
        return found[0].decode("utf-8", "surrogatepass") if found else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._texts.close()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


Twin = Callable[[Question], str | None]
"""Returns the id of a test question's twin, or None."""


def _overlap(test: Sequence[Question], twin: Twin) -> Overlap:
    pairs = [(question.id, found) for question in test if (found := twin(question)) is not None]
    return Overlap(len(test), tuple(id for id, _ in pairs), tuple(pairs[:20]))


def _plain(question: Question) -> str:
    return normalised(question.block)


def _first(seen: Iterable[Question], form: Callable[[str], str]) -> dict[str, str]:
    first: dict[str, str] = {}
    for question in seen:
        first.setdefault(form(question.block), question.id)
    return first


def _same(first: Mapping[str, str], form: Callable[[str], str]) -> Twin:
    return lambda question: first.get(form(question.block))


def _earlier() -> Twin:
    first: dict[str, str] = {}

    def twin(question: Question) -> str | None:
        earlier = first.setdefault(_plain(question), question.id)
        return None if earlier == question.id else earlier

    return twin


def _nearest(train: Sequence[tuple[str, str]]) -> Twin:
    from rapidfuzz import fuzz, process

    texts = [text for _, text in train]

    def twin(question: Question) -> str | None:
        best = process.extractOne(_plain(question), texts, scorer=fuzz.ratio, score_cutoff=NEAR)
        return None if best is None else train[best[2]][0]

    return twin


def _quoted(train: _Training, test: Sequence[Question], rationales: Iterable[Rationale]) -> Twin:
    holders: dict[tuple[str, ...], list[str]] = {}
    for question in test:
        for gram in _grams(_plain(question)):
            holders.setdefault(gram, []).append(question.id)
    quoted: dict[str, str] = {}
    for rationale in rationales:
        for gram in _grams(normalised(rationale.text)):
            if gram in holders and " ".join(gram) not in train.text(rationale.question_id):
                for id in holders[gram]:
                    quoted.setdefault(id, rationale.question_id)
    return lambda question: quoted.get(question.id)


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    """Yield every run of QUOTED_WORDS words; a shorter text as a whole."""
    words = text.split()
    length = min(QUOTED_WORDS, len(words))
    if length >= LEAST_WORDS:
        for start in range(len(words) - length + 1):
            yield tuple(words[start : start + length])

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

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
    """Return the overlaps between what a model learns from and what it is tested on."""
    train, test, exemplars = list(train), list(test), list(exemplars)
    notes = []
    if near and importlib.util.find_spec("rapidfuzz") is None:
        notes.append("near-duplicates not looked for: pip install 'cotdistill[contamination]'")
    elif near and len(train) * len(test) > _MOST_PAIRS:
        pairs = f"{len(train)} × {len(test)} pairs"
        notes.append(f"near-duplicates not looked for: {pairs} are too many")
    return Contamination(
        exact=_overlap(test, _same(train, normalised)),
        template=_overlap(test, _same(train, template)),
        near=_overlap(test, _nearest(train)) if near and not notes else None,
        exemplars_exact=_overlap(test, _same(exemplars, normalised)),
        exemplars_template=_overlap(test, _same(exemplars, template)),
        rationales=_overlap(test, _quoted(train, test, rationales)),
        within_test=_overlap(test, _earlier()),
        notes=tuple(notes),
    )


Twin = Callable[[Question], str | None]
"""Returns the id of a test question's twin, or None."""


def _overlap(test: Sequence[Question], twin: Twin) -> Overlap:
    pairs = [(question.id, found) for question in test if (found := twin(question)) is not None]
    return Overlap(len(test), tuple(id for id, _ in pairs), tuple(pairs[:20]))


def _plain(question: Question) -> str:
    return normalised(question.block)


def _same(seen: Sequence[Question], form: Callable[[str], str]) -> Twin:
    first: dict[str, str] = {}
    for question in seen:
        first.setdefault(form(question.block), question.id)
    return lambda question: first.get(form(question.block))


def _earlier() -> Twin:
    first: dict[str, str] = {}

    def twin(question: Question) -> str | None:
        earlier = first.setdefault(_plain(question), question.id)
        return None if earlier == question.id else earlier

    return twin


def _nearest(train: Sequence[Question]) -> Twin:
    from rapidfuzz import fuzz, process

    texts = [_plain(question) for question in train]

    def twin(question: Question) -> str | None:
        best = process.extractOne(_plain(question), texts, scorer=fuzz.ratio, score_cutoff=NEAR)
        return None if best is None else train[best[2]].id

    return twin


def _quoted(
    train: Sequence[Question], test: Sequence[Question], rationales: Iterable[Rationale]
) -> Twin:
    own = {question.id: _plain(question) for question in train}
    holders: dict[tuple[str, ...], list[str]] = {}
    for question in test:
        for gram in _grams(_plain(question)):
            holders.setdefault(gram, []).append(question.id)
    quoted: dict[str, str] = {}
    for rationale in rationales:
        known = own.get(rationale.question_id, "")
        for gram in _grams(normalised(rationale.text)):
            if gram in holders and " ".join(gram) not in known:
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

"""Contamination: which test questions a model may have seen, in training, in exemplars, or quoted by a rationale.

Four looks, from strict to loose: the same text; the same template (numbers and capitalised words levelled, so that
"Ana has 3 pens" and "Bob has 9 pens" are one); a text that is nearly the same (edit similarity of at least 90 of 100,
by rapidfuzz where it is installed); and 13 words in a row of a test question inside a rationale of another question (the
length is that of Brown et al. 2020, appendix C). Seen templates are no fault of a method, but an accuracy on them does
not show reasoning: the published 70/30 split of MultiArith has a training twin for 180 of 180 test questions.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.prompting.parts import question_block
from cotdistill.records import Question, Rationale
from cotdistill.text.templates import normalised, template

__all__ = ["Contamination", "Overlap", "contamination_report"]

QUOTEDWORDS = 13
NEAR = 90.0
_MOST_PAIRS = 30_000_000
"""Above so many pairs of questions the near-duplicate look is left out (half a minute on one core)."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Test questions (ids) that have a twin elsewhere, of `total` test questions; `examples` pairs them with the twin."""

    total: int
    ids: tuple[str, ...]
    examples: tuple[tuple[str, str], ...] = ()

    @property
    def share(self) -> float:
        return len(self.ids) / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{len(self.ids)}/{self.total}"


@dataclass(frozen=True, slots=True)
class Contamination:
    """All overlaps of one task's test split; None where a look was not possible (`notes` says why)."""

    exact: Overlap
    template: Overlap
    near: Overlap | None
    exemplars_exact: Overlap
    exemplars_template: Overlap
    rationales: Overlap
    within_test: Overlap
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-able: for each look the number of test questions, the share, and their ids."""
        looks = dict(_fields(self))
        plain: dict[str, Any] = {
            name: None
            if look is None
            else {"count": len(look.ids), "of": look.total, "share": look.share, **_ids(look)}
            for name, look in looks.items()
        }
        return plain | {"notes": list(self.notes)}

    def clean_ids(self, ids: Iterable[str]) -> list[str]:
        """Those of the test ids that no look but the within-test one has found."""
        seen = {
            id
            for name, look in _fields(self)
            if look is not None and name != "within_test"
            for id in look.ids
        }
        return [id for id in ids if id not in seen]


def _ids(look: Overlap) -> dict[str, Any]:
    return {"ids": list(look.ids), "examples": [list(pair) for pair in look.examples]}


def _fields(report: Contamination) -> Iterator[tuple[str, Overlap | None]]:
    yield "exact", report.exact
    yield "template", report.template
    yield "near", report.near
    yield "exemplars_exact", report.exemplars_exact
    yield "exemplars_template", report.exemplars_template
    yield "rationales", report.rationales
    yield "within_test", report.within_test


def contamination_report(
    train: Iterable[Question],
    test: Iterable[Question],
    exemplars: Iterable[Question] = (),
    rationales: Iterable[Rationale] = (),
    *,
    near: bool = True,
) -> Contamination:
    """The overlaps between what a model learns from and what it is tested on."""
    train, test, exemplars = list(train), list(test), list(exemplars)
    notes = []
    found: Overlap | None = None
    if near:
        if importlib.util.find_spec("rapidfuzz") is None:
            notes.append("near-duplicates not looked for: pip install 'cotdistill[contamination]'")
        elif len(train) * len(test) > _MOST_PAIRS:
            notes.append(
                f"near-duplicates not looked for: {len(train)} × {len(test)} pairs are too many"
            )
        else:
            found = _near(train, test)
    return Contamination(
        exact=_same(train, test, normalised),
        template=_same(train, test, template),
        near=found,
        exemplars_exact=_same(exemplars, test, normalised),
        exemplars_template=_same(exemplars, test, template),
        rationales=_quoted(train, test, rationales),
        within_test=_within(test),
        notes=tuple(notes),
    )


def _text(question: Question) -> str:
    return question_block(question)


def _same(seen: Sequence[Question], test: Sequence[Question], level: Any) -> Overlap:
    first: dict[str, str] = {}
    for question in seen:
        first.setdefault(level(_text(question)), question.id)
    pairs = [
        (question.id, twin)
        for question in test
        if (twin := first.get(level(_text(question)))) is not None
    ]
    return Overlap(len(test), tuple(id for id, _ in pairs), tuple(pairs[:20]))


def _within(test: Sequence[Question]) -> Overlap:
    first: dict[str, str] = {}
    pairs = []
    for question in test:
        twin = first.setdefault(normalised(_text(question)), question.id)
        if twin != question.id:
            pairs.append((question.id, twin))
    return Overlap(len(test), tuple(id for id, _ in pairs), tuple(pairs[:20]))


def _near(train: Sequence[Question], test: Sequence[Question]) -> Overlap:
    from rapidfuzz import fuzz, process

    texts = [normalised(_text(question)) for question in train]
    pairs = []
    for question in test:
        best = process.extractOne(
            normalised(_text(question)), texts, scorer=fuzz.ratio, score_cutoff=NEAR
        )
        if best is not None:
            pairs.append((question.id, train[best[2]].id))
    return Overlap(len(test), tuple(id for id, _ in pairs), tuple(pairs[:20]))


def _quoted(
    train: Sequence[Question], test: Sequence[Question], rationales: Iterable[Rationale]
) -> Overlap:
    own = {question.id: normalised(_text(question)) for question in train}
    holders: dict[tuple[str, ...], list[str]] = {}
    for question in test:
        for gram in _grams(normalised(_text(question))):
            holders.setdefault(gram, []).append(question.id)
    quoted: dict[str, str] = {}
    for rationale in rationales:
        known = own.get(rationale.question_id, "")
        for gram in _grams(normalised(rationale.text)):
            if gram in holders and " ".join(gram) not in known:
                for id in holders[gram]:
                    quoted.setdefault(id, rationale.question_id)
    pairs = [(question.id, quoted[question.id]) for question in test if question.id in quoted]
    return Overlap(len(test), tuple(id for id, _ in pairs), tuple(pairs[:20]))


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = text.split()
    length = min(QUOTEDWORDS, max(len(words), 1))
    if length >= min(QUOTEDWORDS, 8):
        for start in range(len(words) - length + 1):
            yield tuple(words[start : start + length])

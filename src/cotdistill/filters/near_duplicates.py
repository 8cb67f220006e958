"""Drops a rationale that says nearly word for word what an earlier one of the same question says.

Two texts are as similar as the share of runs of three words that they have in common (Broder 1997,
"On the resemblance and containment of documents"); 0.8 is the share from which on Lee et al. (ACL
2022, arXiv 2107.06499) take documents for near duplicates. The samples of one question are few, so
that all pairs are compared, with neither hashes nor an index; the work grows with the square of
`samples`. What is compared with was kept: of texts that drift, the first and the last may both
stay. It does not see what the numbers mean: after it `duplicates` with `level: equations` finds
the same calculation in other words. The candidates of a question must stand together, as every
stage passes them: only one question is remembered.
"""

import re
from collections.abc import Iterable, Iterator

from pydantic import Field

from cotdistill.contracts import AnswerType, Filter
from cotdistill.records import Question, Rationale

# Words and numbers, and the signs of a calculation: "3 + 8" is not "3 - 8".
_WORD = re.compile(r"\w+|[-+*/=<>%^]")


class NearDuplicates(Filter):
    """Drops rationales of a question that say nearly the same, word for word."""

    similarity: float = Field(
        default=0.8, gt=0, le=1, description="common share of runs from which on two are the same"
    )
    words: int = Field(default=3, ge=1, description="words of a run")

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        current, kept = "", list[frozenset[tuple[str, ...]]]()
        for question, rationale in candidates:
            if question.id != current:
                current, kept = question.id, []
            runs = self._runs(rationale.text)
            near = any(self._same(runs, other) for other in kept)
            yield question, rationale, "nearly the same text" if near else None
            if not near:
                kept.append(runs)

    def _runs(self, text: str) -> frozenset[tuple[str, ...]]:
        words = _WORD.findall(text.casefold())
        starts = range(max(1, len(words) - self.words + 1))
        return frozenset(tuple(words[start : start + self.words]) for start in starts)

    def _same(self, one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> bool:
        if min(len(one), len(other)) < self.similarity * max(len(one), len(other)):
            return False  # too different in length to have so much in common
        common = len(one & other)
        return common >= self.similarity * (len(one) + len(other) - common)

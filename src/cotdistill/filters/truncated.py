"""Drops rationales that the teacher's length limit cut off (finish reason "length").

A student that learns from such texts learns to stop in the middle of a sentence. Where many are
dropped, raise the method's `max_tokens`; the papers' limits suit terse teachers (128 tokens in Ho
et al. 2023, who keep a truncated rationale that leads to the right answer: `filters` without it).
"""

from collections.abc import Iterable, Iterator

from cotdistill.contracts import AnswerType, Filter
from cotdistill.records import Question, Rationale


class Truncated(Filter):
    """Drops rationales that the teacher's length limit cut off."""

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for question, rationale in candidates:
            yield question, rationale, "truncated" if rationale.extra.get("truncated") else None

"""Keeps a rationale only where its answer is the gold answer (every paper here filters so).

It cannot see a right answer reached for a wrong reason; for arithmetic the filter `equations` can.
"""

from collections.abc import Iterable, Iterator

from cotdistill.contracts import AnswerType, Filter
from cotdistill.records import NO_ANSWER, Question, Rationale


class AnswerMatch(Filter):
    """Drops rationales that do not conclude with the gold answer, or say nothing but the answer."""

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for question, rationale in candidates:
            yield question, rationale, _reason(question, rationale, answer_type)


def _reason(question: Question, rationale: Rationale, answer_type: AnswerType) -> str | None:
    if question.answer is None:
        return "no gold answer"
    if rationale.answer is NO_ANSWER:
        return "no answer"
    if not answer_type.same(rationale.answer, question.answer):
        return "wrong answer"
    # An answer without any reasoning would turn a CoT student into an answer-only one; answer-only
    # asks for none.
    return "empty rationale" if rationale.source != "none" and not rationale.text.strip() else None

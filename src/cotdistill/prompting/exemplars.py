"""Draws the worked exemplars of few-shot prompts: from the training split only, the same ones for the same seed.

draw_exemplars(task.questions("train"), count=8, seed=0)
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence

from cotdistill.errors import RecipeError
from cotdistill.records import Question

__all__ = ["draw_exemplars", "exemplars_besides", "refuse_test_exemplars"]


def draw_exemplars(
    questions: Iterable[Question],
    count: int,
    seed: int = 0,
    *,
    rationales: Mapping[str, str] | None = None,
) -> tuple[Question, ...]:
    """`count` training questions that have an answer and a rationale, gold or (by question id) from `rationales`.

    Whether a question is drawn depends on the seed and its id alone, never on the order of the file. Where too few
    questions have a rationale the rest is drawn from those without: prompts that show answers alone need none.
    """
    known = rationales or {}
    if count == 0:
        return ()
    filled = (
        dataclasses.replace(q, rationale=q.rationale or known.get(q.id, "")) for q in questions
    )
    answered = (question for question in filled if question.answer is not None)
    return tuple(
        heapq.nsmallest(count, answered, key=lambda q: (not q.rationale, _rank(q.id, seed)))
    )


def refuse_test_exemplars(exemplars: Sequence[Question], test: Iterable[Question]) -> None:
    """Raises RecipeError where an exemplar stands in the test split, by id or by its text and context."""
    by_id = {exemplar.id: exemplar for exemplar in exemplars}
    by_text = {_plain(exemplar): exemplar for exemplar in exemplars}
    for question in test:
        shown = by_id.get(question.id) or by_text.get(_plain(question))
        if shown is not None:
            raise RecipeError(
                f"exemplar {shown.id} stands in the test split as {question.id}; draw exemplars from the training split"
            )


def exemplars_besides(question: Question, exemplars: Sequence[Question]) -> tuple[Question, ...]:
    """The exemplars that are not the question itself, by id or by text and context."""
    text = _plain(question)
    return tuple(shown for shown in exemplars if shown.id != question.id and _plain(shown) != text)


def _rank(question_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{question_id}".encode()).hexdigest()


def _plain(question: Question) -> str:
    return " ".join(f"{question.text}\n{question.context}".casefold().split())

"""Draws the worked exemplars of few-shot prompts: from training data only, by a seed.

draw_exemplars(task.questions("train"), count=8, seed=0)
"""

import hashlib
import heapq
from collections.abc import Iterable, Sequence

from cotdistill.errors import RecipeError
from cotdistill.records import Question


def draw_exemplars(
    questions: Iterable[Question], count: int, seed: int = 0
) -> tuple[Question, ...]:
    """Draw `count` questions with an answer and a gold rationale.

    The seed and a question's id alone decide, never the order of the file. Where too few have a
    rationale the rest is drawn from those without: prompts that show answers alone need none.
    """
    answered = (question for question in questions if question.answer is not None)
    return tuple(
        heapq.nsmallest(count, answered, key=lambda q: (not q.rationale, _rank(q.id, seed)))
    )


def refuse_test_exemplars(exemplars: Sequence[Question], test: Iterable[Question]) -> None:
    """Refuse exemplars of the test split.

    Raises:
        RecipeError: one stands there, by id or by its text and context.
    """
    by_id = {exemplar.id: exemplar for exemplar in exemplars}
    by_text = {exemplar.same_text: exemplar for exemplar in exemplars}
    for question in test:
        shown = by_id.get(question.id) or by_text.get(question.same_text)
        if shown is not None:
            raise RecipeError(
                f"exemplar {shown.id} stands in the test split as {question.id}; "
                "draw exemplars from the training split"
            )


def _rank(question_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{question_id}".encode()).hexdigest()

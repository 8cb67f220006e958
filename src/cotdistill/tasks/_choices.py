"""Multiple-choice rows of the hub: `choices` as {"text": [...], "label": [...]} and the label of the right one."""

from __future__ import annotations

from collections.abc import Mapping

from cotdistill.data.rows import Row, pick, text_of
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.text.options import letter_of

__all__ = ["choice_question"]


def choice_question(row: Row, id: str, answer: str, context: str = "") -> Question:
    """A row with `question` (or `question_stem`), `choices` and a gold label in the field `answer`, as a question."""
    choices = pick(row, ("choices",), "options")
    if not isinstance(choices, Mapping) or "text" not in choices or "label" not in choices:
        raise DataError(f'{row.place}: choices: not of the form {{"text": [...], "label": [...]}}')
    options = tuple(str(option).strip() for option in choices["text"])
    labels = tuple(str(label) for label in choices["label"])
    gold = letter_of(text_of(row, (answer,), "answer"), options, row.place, labels)
    return Question(
        id, text_of(row, ("question", "question_stem"), "question"), gold, options, context
    )

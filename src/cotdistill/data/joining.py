"""Replies joined by id to the questions of another file.

    {"id": 7, "completion": "…"}        {"id": 7, "question": "What is 3 + 8?"}

The requests of a batch (`custom_id`) are such questions too.
"""

from collections.abc import Mapping
from pathlib import Path

from cotdistill.data.fields import question_of, text_of
from cotdistill.data.rows import Row, rows
from cotdistill.errors import DataError


def questions_by_id(path: Path | str) -> dict[str, str]:
    """Return the questions of a file by id.

    Raises:
        DataError: a row has no id or no question, or an id stands for two.
    """
    by_id: dict[str, str] = {}
    for row in rows(path):
        id, question = text_of(row, ("custom_id", "id"), "id"), question_of(row)
        if by_id.setdefault(id, question) != question:
            raise DataError(f"{row.place}: the id {id!r} stands for another question before it")
    return by_id


def joined_question(row: Row, by_id: Mapping[str, str]) -> str:
    """Return the question of a row: its own, or the one of its id.

    Raises:
        DataError: it has neither.
    """
    id = row.fields.get("custom_id", row.fields.get("id"))
    if str(id) in by_id and "question" not in row.fields:
        return by_id[str(id)]
    try:
        return question_of(row)
    except DataError as error:
        remedy = (
            f"; and {id!r} is no id of the file `questions`"
            if by_id
            else "; set `questions` to the file that gives them by id"
        )
        raise DataError(f"{error}{remedy}") from error

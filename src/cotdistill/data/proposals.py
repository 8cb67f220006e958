"""Settings of a custom task that the columns and values of a file suggest."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from cotdistill import plugins
from cotdistill.contracts import AnswerType
from cotdistill.data.fields import ALIASES, chat_column, missing, question_of, texts_of
from cotdistill.data.options import option_columns, options_of
from cotdistill.data.rows import Row
from cotdistill.errors import DataError
from cotdistill.text.options import split_options

_MOST = 0.9
"""Share of the values that must agree with a proposal: a few rows may be faulty."""
_MARKS = ("####", "The answer is", "the answer is", "-->")
_TYPES = ("number", "yes_no", "date", "choice")
# A letter of an option, and nothing else.
_LETTER = re.compile(r"\(?[A-J]\)?\.?")


def proposal(found: Sequence[Row], **given: Any) -> dict[str, Any]:
    """Return `columns`, `answer`, `answer_after`, `answer_index` and `unlabelled` as rows suggest.

    Args:
        given: what is known already: `question`, `options` (columns), `unlabelled`, and `answer`
            and `type`, the column of the answer and its type.
    """
    columns = _columns(found, given)
    settings: dict[str, Any] = {"columns": columns, "answer": given.get("type") or "number"}
    if given.get("unlabelled"):
        settings["unlabelled"] = True
    column = columns["answer"]
    rows = [row for row in found if not missing(row.fields.get(column))]
    if not rows:
        return settings
    values = [texts_of(row, column)[-1] for row in rows]
    if after := next((mark for mark in _MARKS if _most(mark in value for value in values)), ""):
        settings["answer_after"] = after
        values = [value.rpartition(after)[2].strip() for value in values]
    counts = [_count(row, columns) for row in rows]
    has_options = _most(count > 1 for count in counts)
    settings["answer"] = given.get("type") or ("choice" if has_options else _answer_type(values))
    if has_options and settings["answer"] == "choice" and _most(map(str.isdecimal, values)):
        numbers = [int(one) for one in values if one.isdecimal()]
        last = any(number == count for number, count in zip(numbers, counts, strict=False))
        settings["answer_index"] = 1 if last and 0 not in numbers else 0
    return settings


def _columns(found: Sequence[Row], given: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {
        field: given.get(field) or _column(field, found)
        for field in ("question", "answer", "options")
    }
    chat = chat_column(found[0]) if found else ""
    if chat and not columns["question"]:
        columns["question"] = chat
        columns["answer"] = columns["answer"] or chat
    if found and not columns["options"]:
        columns["options"] = option_columns(found[0])
    return columns


def _column(field: str, found: Sequence[Row]) -> str:
    """Return the file's column with a usual name of the field, "" where none has one."""
    for name in ALIASES[field]:
        for column in found[0].fields if found else ():
            used = any(not missing(row.fields.get(column)) for row in found)
            if str(column).strip().lower() == name.lower() and used:
                return str(column)
    return ""


def _count(row: Row, columns: dict[str, Any]) -> int:
    """Return the number of a row's options, in columns or at the end of its question."""
    try:
        if columns["options"]:
            return len(options_of(row, columns["options"])[0])
        return len(split_options(question_of(row, columns["question"]))[1])
    except DataError:  # the row is named where the whole file is read
        return 0


def _answer_type(values: Sequence[str]) -> str:
    if _most(_LETTER.fullmatch(value.strip()) for value in values):
        return "choice"
    for name in _TYPES:
        answer_type = plugins.build("answers", name, AnswerType)
        if _most(answer_type.gold(value) is not None for value in values):
            return name
    return "math_expression" if _most("\\" in value or "^" in value for value in values) else "text"


def _most(flags: Iterable[Any]) -> bool:
    found = [bool(flag) for flag in flags]
    return bool(found) and sum(found) >= _MOST * len(found)

"""Read the options of a multiple-choice row, in the forms that files have them.

["red", "blue"]    '["red", "blue"]'    "['red', 'blue']"      a list, or one written in a cell
{"text": ["red", "blue"], "label": ["1", "2"]}                 the hub's form (ARC)
{"A": "red", "B": "blue"}                                      letters with their texts
"A) red  B) blue"    "red | blue"    "red; blue"               in one text
A, B, C, D   option_a, option_b   choice1, choice2             a column each
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from cotdistill.data.fields import ALIASES, as_text, missing
from cotdistill.data.rows import Row, check_unicode
from cotdistill.errors import DataError
from cotdistill.text.options import lettered_options, unlettered

Options = tuple[tuple[str, ...], tuple[str, ...]]
"""The texts, and the labels where the row has labels of its own."""

# One column of several that hold an option each: "B", "option_b", "choice 2", "ending1", "sol2".
_COLUMN = re.compile(r"(?:(?:option|choice|answer|ending|sol)[ _]?)?([A-J]|\d)", re.IGNORECASE)
_LONGEST_LIST = 20_000
"""Characters of a cell that is tried as a list of Python."""


def options_of(row: Row, column: str | Sequence[str] = "") -> Options:
    """Return options and their labels; of several columns that the row has each is an option.

    Raises:
        DataError: the field holds no options.
    """
    doc = row.fields.get("doc")
    if not column and isinstance(doc, Mapping):
        return options_of(Row(f"{row.place}: doc", doc))
    names = ((column,) if isinstance(column, str) else column) if column else ALIASES["options"]
    there = [name for name in names if name in row.fields]
    if len(there) > 1 and not isinstance(column, str):
        return _one_each(row, there), ()
    value = next((row.fields[n] for n in names if not missing(row.fields.get(n))), None)
    texts, labels = _listed(value, row.place)
    for text in texts:
        check_unicode(row.place, "options", text)
    return unlettered(texts), labels


def option_columns(row: Row) -> tuple[str, ...]:
    """Return the columns that hold an option each, in order; () where there are none."""
    found: dict[str, dict[str, str]] = {}
    for name in map(str, row.fields):
        if match := _COLUMN.fullmatch(name.strip()):
            prefix = name.strip()[: match.start(1)].casefold()
            found.setdefault(prefix, {})[match[1].upper()] = name
    for columns in found.values():
        for marks in (ascii_uppercase[:10], "123456789", "0123456789"):
            ordered = tuple(columns[mark] for mark in marks if mark in columns)
            if len(ordered) > 1 and list(marks[: len(ordered)]) == sorted(columns):
                return ordered
    return ()


def _one_each(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    values = [row.fields[name] for name in names]
    while values and missing(values[-1]):
        values.pop()  # a question with fewer options than others leaves the last cells empty
    if any(missing(value) for value in values) or len(values) < 2:
        empty = next(name for name in names if missing(row.fields[name]))
        raise DataError(f"{row.place}: option {empty} is empty; fill it in, or remove the row")
    return tuple(as_text(value, row.place, "option").strip() for value in values)


def _listed(value: Any, place: str) -> Options:
    if value is None:
        return (), ()
    wrong = DataError(
        f'{place}: options: not a list of texts; write ["first", "second"], "A) first B) second" '
        "or first | second"
    )
    if isinstance(value, str):
        value = _in_text(value)
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        value = {name: [one.get(name) for one in value] for name in ("text", "label")}
    labels: Any = ()
    if isinstance(value, Mapping):
        labels = value.get("label", () if "text" in value else list(value))
        value = value.get("text", list(value.values()))
    if not isinstance(value, list | tuple) or not isinstance(labels, list | tuple):
        raise wrong
    if not all(isinstance(one, str | int | float) for one in (*value, *labels)):
        raise wrong
    texts = tuple(as_text(one, place, "option").strip() for one in value)
    return texts, tuple(str(label) for label in labels if label is not None)


def _in_text(cell: str) -> Any:
    """Return the list that a cell spells; None where it spells none."""
    for read in (json.loads, ast.literal_eval):
        try:
            if len(cell) <= _LONGEST_LIST or read is json.loads:
                return _no_scalar(read(cell))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if lettered := lettered_options(cell):
        return lettered
    for mark in ("\n", "|", ";"):
        parts = [part.strip() for part in cell.split(mark) if part.strip()]
        if len(parts) > 1:
            return parts
    return None


def _no_scalar(value: Any) -> Any:
    if not isinstance(value, list | tuple | dict):
        raise ValueError("a scalar")
    return value

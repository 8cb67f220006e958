"""Your own data: JSONL, JSON, CSV, TSV or Parquet files, or a hub data set, with a mapping of columns and a kind of answer.

    task: {name: custom, path: questions.jsonl, answer: number, columns: {question: problem, answer: gold}}
    task: {name: custom, path: {train: train.csv, test: test.csv}, answer: choice, columns: {options: choices}}
    task: {name: custom, path: owner/dataset, config: main, answer: number, answer_after: "####"}

One file is dealt into splits by `shares` and `seed`; with one file a split, a missing validation split is taken out of
train. Columns of ours: question, answer, and where there are any options, context, rationale, id. Options are a list, a JSON list
in a cell, or the hub form {"text": [...], "label": [...]}; the answer to a choice is a letter, a label or an option's text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from cotdistill import plugins
from cotdistill.contracts import AnswerType, Split, Task
from cotdistill.data.rows import (
    Row,
    check_unicode,
    hub_rows,
    is_hub_id,
    local_file,
    pick,
    rows,
    text_of,
)
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._splitting import Splits, by_share, by_template, carve_validation
from cotdistill.text.options import letter_of

__all__ = ["Custom"]

_FIELDS = ("question", "answer", "options", "context", "rationale", "id")
_Name = Literal["train", "validation", "test", "ood"]


class Custom(Task):
    """Your own questions from a JSONL, CSV or Parquet file or a hub data set."""

    path: str | dict[_Name, str]
    """One file or hub id, one for each split, or a folder with a file for each."""
    answer: str | dict[str, Any] = "number"
    """Kind of answer: number, choice, yes_no, text, date, math_expression, or {name: …, settings}."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Our field: your column, for those that are named differently."""
    answer_after: str = ""
    """The answer column is a worked solution; the answer stands behind this mark and the rationale before it."""
    config: str | None = None
    """Configuration of a hub data set."""
    shares: dict[str, float] = Field(
        default_factory=lambda: {"train": 0.7, "validation": 0.1, "test": 0.2}
    )
    """How one file is dealt."""
    split: Literal["random", "template"] = "random"
    """template: questions that differ in numbers and names only go to the same split."""
    validation: float = Field(default=0.1, ge=0)
    """Share (below 1) or number of training questions set apart where the files have no validation split."""
    seed: int = 0

    @field_validator("columns")
    @classmethod
    def _known_fields(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in _FIELDS:
                raise ValueError(f"{name!r} is no field of a question; map {', '.join(_FIELDS)}")
        return columns

    @field_validator("shares")
    @classmethod
    def _sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        if wrong := [name for name in shares if name not in ("train", "validation", "test", "ood")]:
            raise ValueError(f"{wrong[0]!r} is no split; there are train, validation, test and ood")
        if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values(), default=0) < 0:
            raise ValueError(f"shares must be positive and sum to 1, not {sum(shares.values()):g}")
        return shares

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @cached_property
    def _kind(self) -> AnswerType:
        return plugins.build("answers", self.answer, AnswerType)  # type: ignore[type-abstract, unused-ignore]

    @property
    def answer_type(self) -> AnswerType:
        return self._kind

    def questions(self, split: Split) -> Iterator[Question]:
        splits = _splits(self, self._stamp())
        if split not in splits and split != "ood":
            raise DataError(
                f"task custom: no questions for the split {split!r}; give `path` a file for it, or shares"
            )
        if split in splits and not splits[split]:
            raise DataError(
                f"task custom: the split {split!r} is empty; give it more rows or a larger share"
            )
        return iter(splits.get(split, ()))

    def _stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Size and time of the local files: a file changed while the program runs is read again."""
        sources = self.path.values() if isinstance(self.path, dict) else (self.path,)
        found = ((source, Path(source).expanduser()) for source in sources)
        return tuple(
            (name, path.stat().st_size, path.stat().st_mtime_ns)
            for name, path in found
            if path.is_file()
        )

    def load(self) -> Splits:
        """All splits.

        Raises:
            DataError: a file is missing or malformed, a column is missing, or an answer is none of its kind.
        """
        if isinstance(self.path, str) and Path(self.path).expanduser().is_dir():
            return self._parts(_folder_files(Path(self.path).expanduser()))
        if isinstance(self.path, str) and (_is_file(self.path) or not is_hub_id(self.path)):
            questions = self._read(self.path, rows(Path(self.path).expanduser()))
            if not questions:
                raise DataError(f"{self.path}: no questions; the file is empty")
            if self.split == "template":
                dealt = by_template(questions, self.shares.get("test", 0.2), self.seed)
                return carve_validation(dealt, self.shares.get("validation", 0.1), self.seed)
            return by_share(questions, self.shares, self.seed)
        if isinstance(self.path, dict):
            return self._parts(self.path)
        return self._parts(dict.fromkeys(_hub_splits(self.path, self.config), self.path))

    def _parts(self, sources: Mapping[_Name, str]) -> Splits:
        splits: Splits = {
            name: self._read(name, self._rows(source, name)) for name, source in sources.items()
        }
        ids = [question.id for part in splits.values() for question in part]
        if len(set(ids)) < len(ids):
            splits = {
                name: [replace(one, id=f"{name}/{one.id}") for one in part]
                for name, part in splits.items()
            }
        return carve_validation(splits, self.validation, self.seed)

    def _rows(self, source: str, split: str) -> Iterator[Row]:
        if _is_file(source) or not is_hub_id(source):
            return rows(Path(source).expanduser())
        return hub_rows(source, self.config, split)

    def _read(self, source: str, found: Iterator[Row]) -> list[Question]:
        stem = Path(source).stem
        questions: dict[str, Question] = {}
        for index, row in enumerate(found):
            question = self._question(row, f"{stem}/{index}")
            if question.id in questions:
                raise DataError(f"{row.place}: id {question.id!r} stands twice; ids must differ")
            questions[question.id] = question
        return list(questions.values())

    def _question(self, row: Row, id: str) -> Question:
        options = _options(self._optional(row, "options"), row.place)
        text = text_of(row, (self._column("question"),), "question")
        answer = text_of(row, (self._column("answer"),), "answer")
        rationale = str(self._optional(row, "rationale") or "").strip()
        if self.answer_after:
            worked, mark, answer = answer.rpartition(self.answer_after)
            if not mark:
                raise DataError(
                    f"{row.place}: answer: has no {self.answer_after!r}; correct answer_after, or the row"
                )
            rationale, answer = rationale or worked.strip(), answer.strip()
        if options:
            labels = _labels(self._optional(row, "options"))
            answer = letter_of(answer, options, row.place, labels)
        elif not self.answer_type.same(answer, answer):
            raise DataError(
                f"{row.place}: answer: {answer[:40]!r} is no {_kind_name(self.answer)}; correct it, or `answer`"
            )
        named = self._optional(row, "id")
        context = str(self._optional(row, "context") or "").strip()
        return Question(
            str(named) if named is not None else id, text, answer, options, context, rationale
        )

    def _column(self, name: str) -> str:
        return self.columns.get(name, name)

    def _optional(self, row: Row, name: str) -> Any:
        if name in self.columns:
            if self.columns[name] not in row.fields:
                pick(row, (self.columns[name],), name)
            return row.fields[self.columns[name]]
        return row.fields.get(name)


def _kind_name(answer: str | Mapping[str, Any]) -> str:
    return answer if isinstance(answer, str) else str(answer.get("name"))


def _is_file(source: str) -> bool:
    return Path(source).expanduser().exists()


def _folder_files(folder: Path) -> dict[_Name, str]:
    names: tuple[_Name, ...] = ("train", "validation", "test", "ood")
    found = {name: str(path) for name in names if (path := local_file(folder, name)) is not None}
    if not found:
        raise DataError(
            f"{folder}: holds no train, validation or test file; name a file, or put train.jsonl in it"
        )
    return found


def _hub_splits(hub: str, config: str | None) -> list[_Name]:
    import datasets

    try:
        names = datasets.get_dataset_split_names(hub, config)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"path: {hub}: no such file, and as a hub id: {reason}; correct it, or check the network"
        ) from error
    ours: tuple[_Name, ...] = ("train", "validation", "test")
    return [name for name in ours if name in names]


def _options(value: Any, place: str) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise DataError(f'{place}: options: not a list; write ["first", "second"]') from error
    if isinstance(value, Mapping):
        value = value.get("text", list(value.values()))
    if not isinstance(value, list | tuple) or not all(
        isinstance(option, str | int | float) for option in value
    ):
        raise DataError(f'{place}: options: not a list of texts; write ["first", "second"]')
    for option in value:
        check_unicode(place, "options", str(option))
    return tuple(str(option) for option in value)


def _labels(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        return tuple(str(label) for label in value.get("label", list(value)))
    return ()


@lru_cache(maxsize=8)
def _splits(task: Custom, stamp: tuple[tuple[str, int, int], ...]) -> Splits:
    return task.load()

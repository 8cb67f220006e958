"""Keeps or drops the rationales of listed questions: a hand-picked subset, or questions known to be
bad.

{name: ids, keep_file: golden.txt}      one question id a line
{name: ids, drop: [gsm8k/train/17]}
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from cotdistill.contracts import AnswerType, Filter
from cotdistill.errors import DataError
from cotdistill.records import Question, Rationale


class Ids(Filter):
    """Keeps or drops the rationales of listed questions."""

    keep: tuple[str, ...] | None = Field(default=None, description="only these questions")
    drop: tuple[str, ...] = Field(default=(), description="none of these questions")
    keep_file: Path | None = Field(default=None, description="file with one id a line to keep")
    drop_file: Path | None = Field(default=None, description="file with one id a line to drop")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (
            self.keep is None
            and not self.drop
            and self.keep_file is None
            and self.drop_file is None
        ):
            raise ValueError(
                "give a list of question ids as `keep`, `drop`, `keep_file` or `drop_file`"
            )
        return self

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        listed = self.keep is not None or self.keep_file is not None
        kept = {*(self.keep or ()), *_read(self.keep_file)}
        dropped = {*self.drop, *_read(self.drop_file)}
        for question, rationale in candidates:
            reason = "not in the list" if listed and question.id not in kept else None
            yield question, rationale, "in the drop list" if question.id in dropped else reason


def _read(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}; filter ids needs a text file with one question id a line"
        ) from error
    return [line.strip() for line in lines if line.strip()]

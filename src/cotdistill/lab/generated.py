"""What the four generated tasks have in common: sizes of the splits, one seed, questions made on demand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from cotdistill.contracts import Split, Task
from cotdistill.lab.generators import DRAWS
from cotdistill.lab.problem import question_at
from cotdistill.records import Question

__all__ = ["GeneratedTask"]


class GeneratedTask(Task):
    """Item i of a split is drawn from its own seed: a larger split begins with the items of a smaller one."""

    name: ClassVar[str]

    train: int = Field(1000, ge=0)
    validation: int = Field(200, ge=0)
    test: int = Field(500, ge=0)
    ood: int = Field(200, ge=0)
    seed: int = 0

    def questions(self, split: Split) -> Iterator[Question]:
        sizes: dict[Split, int] = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "ood": self.ood,
        }
        for index in range(sizes[split]):
            yield question_at(DRAWS[self.name], self.name, split, index, self.seed)

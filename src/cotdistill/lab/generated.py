"""The four generators by name, and the task class they share: questions made on demand."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from cotdistill.contracts import Split, Task
from cotdistill.lab import coin_flip, rule_quiz, shuffled_objects, word_problems
from cotdistill.lab.problem import Draw, question_at
from cotdistill.records import Question

DRAWS: dict[str, Draw] = {
    "word_problems": word_problems.draw,
    "coin_flip": coin_flip.draw,
    "shuffled_objects": shuffled_objects.draw,
    "rule_quiz": rule_quiz.draw,
}


class GeneratedTask(Task):
    """Draw item i of a split from its own seed: a larger split begins with a smaller one's items.

    The sizes of the splits are in questions.
    """

    name: ClassVar[str]

    train: int = Field(1000, ge=0)
    validation: int = Field(200, ge=0)
    test: int = Field(500, ge=0)
    ood: int = Field(200, ge=0)
    seed: int = 0

    def questions(self, split: Split) -> Iterator[Question]:
        sizes = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "ood": self.ood,
        }
        for index in range(sizes[split]):
            yield question_at(DRAWS[self.name], self.name, split, index, self.seed)

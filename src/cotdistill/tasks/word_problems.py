"""The generated task `word_problems`: see `cotdistill.lab.word_problems` for its language and an
example."""

from typing import ClassVar

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType
from cotdistill.lab.generated import GeneratedTask


class WordProblems(GeneratedTask):
    """Generated arithmetic stories of 2 to 5 steps (ood: 6 to 8) with gold rationales and
    sub-questions."""

    name: ClassVar[str] = "word_problems"

    @property
    def answer_type(self) -> AnswerType:
        return Number()

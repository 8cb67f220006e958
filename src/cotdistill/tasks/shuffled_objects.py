"""The generated task `shuffled_objects`: see `cotdistill.lab.shuffled_objects` for its language and
an example."""

from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType
from cotdistill.lab.generated import GeneratedTask


class ShuffledObjects(GeneratedTask):
    """Generated swaps of three objects, 2 or 3 of them (ood: 4 to 6), with three options."""

    name: ClassVar[str] = "shuffled_objects"

    @property
    def answer_type(self) -> AnswerType:
        return Choice()

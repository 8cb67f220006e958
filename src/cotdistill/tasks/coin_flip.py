"""The generated task `coin_flip`: `cotdistill.lab.coin_flip` has its language and an example."""

from typing import ClassVar

from cotdistill.answers.yes_no import YesNo
from cotdistill.contracts import AnswerType
from cotdistill.lab.generated import GeneratedTask


class CoinFlip(GeneratedTask):
    """Generated coin flips by 3 to 7 people (ood: 8 to 11): is the coin still the same side up?"""

    name: ClassVar[str] = "coin_flip"

    @property
    def answer_type(self) -> AnswerType:
        return YesNo()

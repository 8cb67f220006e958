"""The generated task `rule_quiz`: `cotdistill.lab.rule_quiz` has its language and an example."""

from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType
from cotdistill.lab.generated import GeneratedTask


class RuleQuiz(GeneratedTask):
    """Generated quiz with four options; two or three facts of the context must be chained (ood:
    four or five)."""

    name: ClassVar[str] = "rule_quiz"

    @property
    def answer_type(self) -> AnswerType:
        return Choice()

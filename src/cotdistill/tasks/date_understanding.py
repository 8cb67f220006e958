"""Date understanding (BIG-bench): 369 questions with six dates to choose from; default split 258/111, template-wise 261/108.

{"question": "In two days it will be May 3, 1999. ...? Answer choices: (A) 05/01/1999, (B) ...", "answer": "A"}
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.tasks._bigbench import bigbench_question

__all__ = ["DateUnderstanding"]


class DateUnderstanding(Benchmark):
    """Date understanding: which of six dates follows from a short description."""

    name: ClassVar[str] = "date_understanding"
    kind: ClassVar[AnswerType] = Choice()
    source: ClassVar[Hub | None] = Hub(
        "tasksource/bigbench",
        "date_understanding",
        (("train", "train"), ("validation", "validation")),
    )

    def question(self, row: Row, id: str) -> Question:
        if "multiple_choice_targets" in row.fields:
            return bigbench_question(row, id, self.seed)
        return super().question(row, id)

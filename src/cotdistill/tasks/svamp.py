"""SVAMP (Patel et al. 2021): 1,000 one-step word problems with varied wording; Ho et al. deal
700/300.

{"question": "A box of pens is sold for 9 euros. ...", "answer": "7.0"}

On the hub: Body, Question, Answer, Type.
"""

from cotdistill.answers.number import Number
from cotdistill.data.fields import optional, text_of
from cotdistill.data.rows import Row
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub


class SVAMP(Benchmark):
    """SVAMP: 1,000 one-step word problems with varied wording."""

    answers = Number()
    source = Hub("ChilleD/SVAMP")

    def question(self, row: Row, id: str) -> Question:
        if "Body" not in row.fields:
            return super().question(row, id)
        text = f"{text_of(row, ('Body',), 'body')} {text_of(row, ('Question',), 'question')}"
        operation = optional(row, ("Type",), "type").lower().replace("common-division", "division")
        meta = {"operation": operation} if operation else {}
        return Question(id, text, self.gold(row, "Answer"), meta=meta)

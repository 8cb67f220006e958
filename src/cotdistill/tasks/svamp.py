"""SVAMP (Patel et al. 2021): 1,000 one-step word problems with varied wording; the index file of Ho et al. deals 700/300.

{"question": "A box of pens is sold for 9 euros. ...", "answer": "7.0"}; on the hub: Body, Question, Answer, Type
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row, text_of
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub

__all__ = ["SVAMP"]


class SVAMP(Benchmark):
    """SVAMP: 1,000 one-step word problems with varied wording."""

    name: ClassVar[str] = "svamp"
    kind: ClassVar[AnswerType] = Number()
    source: ClassVar[Hub | None] = Hub("ChilleD/SVAMP")

    def question(self, row: Row, id: str) -> Question:
        if "Body" not in row.fields:
            return super().question(row, id)
        text = f"{text_of(row, ('Body',), 'body')} {text_of(row, ('Question',), 'question')}"
        answer = self.canonical(text_of(row, ("Answer",), "answer"), row)
        operation = str(row.fields.get("Type") or "").lower().replace("common-division", "division")
        return Question(id, text, answer, meta={"operation": operation} if operation else {})

"""MATH (Hendrycks et al. 2021) with the 500 test questions of MATH-500 (Lightman et al. 2024); answers in LaTeX.

{"problem": "Convert the point $(0,3)$ ...", "solution": "...", "answer": "\\\\left( 3, \\\\frac{\\\\pi}{2} \\\\right)", "level": 2, "subject": "..."}

Local files: `math/train.jsonl`, `math/test.jsonl`. Without an `answer` the last box of the solution is the answer. On the hub
there are 500 questions alone, so 300 train and 200 test by the seed, unless local files or another hub id give a train split.
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.math_expression import MathExpression
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row, text_of
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.text.markers import last_box

__all__ = ["Math"]


class Math(Benchmark):
    """MATH and MATH-500: competition problems with LaTeX answers."""

    name: ClassVar[str] = "math"
    kind: ClassVar[AnswerType] = MathExpression()
    source: ClassVar[Hub | None] = Hub("HuggingFaceH4/MATH-500", splits=(("train", "test"),))
    test_share: ClassVar[float] = 0.4

    def question(self, row: Row, id: str) -> Question:
        solution = str(row.fields.get("solution") or "").strip()
        given = row.fields.get("answer")
        answer = str(given).strip() if given is not None else last_box(solution)
        if not answer:
            raise DataError(f"{row.place}: answer: neither an answer nor a box in the solution")
        meta = {name: row.fields[name] for name in ("level", "subject") if name in row.fields}
        return Question(
            id,
            text_of(row, ("problem", "question"), "question"),
            answer,
            rationale=solution,
            meta=meta,
        )

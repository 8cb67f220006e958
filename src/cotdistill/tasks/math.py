"""MATH (Hendrycks et al. 2021) with the 500 test questions of MATH-500 (Lightman et al. 2024);
answers in LaTeX.

{"problem": "...", "solution": "...", "answer": "\\\\frac{\\\\pi}{2}", "level": 2, "subject": "..."}

Local files: `math/train.jsonl`, `math/test.jsonl`. Without an `answer` the last box of the solution
is the answer. On the hub there are 500 questions alone, so 300 train and 200 test by the seed,
unless local files or another hub id give a train split.
"""

from cotdistill.answers.math_expression import MathExpression
from cotdistill.data.fields import optional, question_of
from cotdistill.data.rows import Row
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.text.markers import last_box


class Math(Benchmark):
    """MATH and MATH-500: competition problems with LaTeX answers."""

    answers = MathExpression()
    source = Hub("HuggingFaceH4/MATH-500", splits=(("train", "test"),))
    test_share = 0.4

    def question(self, row: Row, id: str) -> Question:
        solution = optional(row, ("solution",), "solution")
        answer = optional(row, ("answer",), "answer") or last_box(solution)
        if not answer:
            raise DataError(f"{row.place}: answer: neither an answer nor a box in the solution")
        meta = {name: row.fields[name] for name in ("level", "subject") if name in row.fields}
        return Question(id, question_of(row), answer, rationale=solution, meta=meta)

"""ScienceQA, text only (Lu et al. 2022): questions of school science with lectures; those with an
image are left out.

{"question": "...", "choices": ["...", "..."], "answer": 1, "hint": "...",
"lecture": "...", "solution": "...", "image": null}

`answer` counts from 0. The hint is the context (as in Sci-CoT); the official solution is the gold
rationale.
"""

from cotdistill.answers.choice import Choice
from cotdistill.data.fields import optional, question_of, text_of
from cotdistill.data.options import options_of
from cotdistill.data.rows import Row
from cotdistill.records import Question
from cotdistill.tasks._benchmark import OFFICIAL, Benchmark, Hub
from cotdistill.text.options import letter_of


class ScienceQA(Benchmark):
    """ScienceQA: questions of school science, those without an image."""

    lecture: bool = False
    """Add the lecture to the context."""

    answers = Choice()
    source = Hub("derek-thomas/ScienceQA", None, OFFICIAL)

    def wanted(self, row: Row) -> bool:
        return row.fields.get("image") is None

    def question(self, row: Row, id: str) -> Question:
        options, _ = options_of(row)
        answer = text_of(row, ("answer",), "answer")
        parts = ("hint", "lecture") if self.lecture else ("hint",)
        return Question(
            id,
            question_of(row),
            letter_of(answer, options, row.place, index=0),
            options,
            context=" ".join(" ".join(optional(row, (part,), part) for part in parts).split()),
            rationale=" ".join(optional(row, ("solution",), "solution").split()),
            meta={"subject": row.fields.get("subject", "")},
        )

"""ScienceQA, text only (Lu et al. 2022): questions of school science with lectures; those with an image are left out.

{"question": "...", "choices": ["...", "..."], "answer": 1, "hint": "...", "lecture": "...", "solution": "...", "image": null}

`answer` counts from 0. The hint is the context (as in Sci-CoT); the official solution is the gold rationale.
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row, pick, text_of
from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub

__all__ = ["ScienceQA"]

_SPLITS = (("train", "train"), ("validation", "validation"), ("test", "test"))


class ScienceQA(Benchmark):
    """ScienceQA: questions of school science, those without an image."""

    lecture: bool = False
    """Add the lecture to the context."""

    name: ClassVar[str] = "scienceqa"
    kind: ClassVar[AnswerType] = Choice()
    source: ClassVar[Hub | None] = Hub("derek-thomas/ScienceQA", None, _SPLITS)

    def wanted(self, row: Row) -> bool:
        return row.fields.get("image") is None

    def question(self, row: Row, id: str) -> Question:
        options = tuple(str(option) for option in pick(row, ("choices",), "options"))
        index = pick(row, ("answer",), "answer")
        if not isinstance(index, int) or not 0 <= index < len(options):
            raise DataError(
                f"{row.place}: answer {index!r} is no index of the {len(options)} choices, counted from 0"
            )
        parts = [
            str(row.fields.get("hint") or ""),
            str(row.fields.get("lecture") or "") if self.lecture else "",
        ]
        return Question(
            id,
            text_of(row, ("question",), "question"),
            "ABCDEFGHIJ"[index],
            options,
            context=" ".join(" ".join(parts).split()),
            rationale=" ".join(str(row.fields.get("solution") or "").split()),
            meta={"subject": row.fields.get("subject", "")},
        )

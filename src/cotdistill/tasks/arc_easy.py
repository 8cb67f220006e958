"""ARC-Easy of the AI2 Reasoning Challenge (Clark et al. 2018): 2,251 / 570 / 2,376 easier questions of school science, official split.

{"question": "Which factor will most likely ...", "choices": {"text": [...], "label": ["A", ...]}, "answerKey": "B"}

Local files: `arc_easy/train.jsonl`, `validation`, `test` with these columns. Labels may be letters or digits.
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.tasks._choices import choice_question

__all__ = ["ArcEasy"]

_SPLITS = (("train", "train"), ("validation", "validation"), ("test", "test"))


class ArcEasy(Benchmark):
    """ARC-Easy: questions of school science with their official split."""

    name: ClassVar[str] = "arc_easy"
    kind: ClassVar[AnswerType] = Choice()
    source: ClassVar[Hub | None] = Hub("allenai/ai2_arc", "ARC-Easy", _SPLITS)

    def question(self, row: Row, id: str) -> Question:
        return choice_question(row, id, "answerKey")

"""ARC-Challenge of the AI2 Reasoning Challenge (Clark et al. 2018): 1,119 / 299 / 1,172 harder questions of school science, official split.

{"question": "Which factor will most likely ...", "choices": {"text": [...], "label": ["A", ...]}, "answerKey": "B"}

Local files: `arc_challenge/train.jsonl`, `validation`, `test` with these columns. Labels may be letters or digits.
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.tasks._choices import choice_question

__all__ = ["ArcChallenge"]

_SPLITS = (("train", "train"), ("validation", "validation"), ("test", "test"))


class ArcChallenge(Benchmark):
    """ARC-Challenge: questions of school science with their official split."""

    name: ClassVar[str] = "arc_challenge"
    kind: ClassVar[AnswerType] = Choice()
    source: ClassVar[Hub | None] = Hub("allenai/ai2_arc", "ARC-Challenge", _SPLITS)

    def question(self, row: Row, id: str) -> Question:
        return choice_question(row, id, "answerKey")

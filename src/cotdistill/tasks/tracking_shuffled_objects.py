"""Tracking shuffled objects (BIG-bench, three objects): 750 questions; the index file of Ho et al. deals 525/225.

{"question": "Three people hold a pen, a cup and a hat and swap them ... Answer choices: (A) pen, (B) ...", "answer": "C"}
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerKind
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.tasks._bigbench import bigbench_question
from cotdistill.tasks._source import Row

__all__ = ["TrackingShuffledObjects"]


class TrackingShuffledObjects(Benchmark):
    """Tracking shuffled objects: who holds what after three swaps."""

    name: ClassVar[str] = "tracking_shuffled_objects"
    kind: ClassVar[AnswerKind] = Choice()
    source: ClassVar[Hub | None] = Hub(
        "tasksource/bigbench", "tracking_shuffled_objects", (("train", "train"), ("validation", "validation"))
    )

    def question(self, row: Row, id: str) -> Question:
        if "multiple_choice_targets" in row.fields:
            return bigbench_question(row, id, self.seed)
        return super().question(row, id)

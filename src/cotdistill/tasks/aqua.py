"""AQuA-RAT (Ling et al. 2017): five-way algebra questions with rationales; 97,467 / 254 / 254, official split.

    {"question": "...", "options": ["A)21", "B)21.5", ...], "rationale": "...", "correct": "E"}

Local files: `aqua/train.jsonl`, `aqua/validation.jsonl`, `aqua/test.jsonl` with these columns, or `aqua.json` in the layout of
Ho et al., whose index file takes 10,000 questions for training.
"""

from __future__ import annotations

import re
from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row, text_of
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.text.options import letter_of

__all__ = ["Aqua"]

_SPLITS = (("train", "train"), ("validation", "validation"), ("test", "test"))


class Aqua(Benchmark):
    """AQuA-RAT: five-way algebra questions with human rationales."""

    name: ClassVar[str] = "aqua"
    kind: ClassVar[AnswerType] = Choice()
    source: ClassVar[Hub | None] = Hub("deepmind/aqua_rat", "raw", _SPLITS)

    def question(self, row: Row, id: str) -> Question:
        given = row.fields.get("options")
        if not isinstance(given, list):
            return super().question(row, id)
        options = tuple(
            re.sub(r"^\s*\(?[A-E]\s*\)\s*", "", str(option)).strip() for option in given
        )
        answer = letter_of(text_of(row, ("correct",), "answer"), options, row.place)
        rationale = " ".join(str(row.fields.get("rationale") or "").split())
        return Question(
            id, text_of(row, ("question",), "question"), answer, options, rationale=rationale
        )

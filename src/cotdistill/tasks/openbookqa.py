"""OpenBookQA (Mihaylov et al. 2018): 4,957 / 500 / 500 four-way questions of elementary science, official split.

On the hub: {"question_stem": "...", "choices": {"text": [...], "label": [...]}, "answerKey": "D", "fact1": "..."}; as a local
file also `openbookqa_test.json`: {"instruction": "Q: ... Answer choices: A: ..., B: ...", "label": "B"}, test alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from cotdistill.answers.choice import Choice
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row, local_file, rows
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.tasks._choices import choice_question
from cotdistill.tasks._splitting import Splits

__all__ = ["OpenBookQA"]

_SPLITS = (("train", "train"), ("validation", "validation"), ("test", "test"))


class OpenBookQA(Benchmark):
    """OpenBookQA: four-way questions of elementary science."""

    fact: bool = False
    """Give the core fact of the question as its context (the hub's configuration "additional")."""

    name: ClassVar[str] = "openbookqa"
    kind: ClassVar[AnswerType] = Choice()
    source: ClassVar[Hub | None] = Hub("allenai/openbookqa", "additional", _SPLITS)

    def question(self, row: Row, id: str) -> Question:
        if "choices" in row.fields:
            fact = str(row.fields.get("fact1") or "") if self.fact else ""
            return choice_question(row, id, "answerKey", context=fact)
        found = super().question(row, id)
        return Question(
            found.id, found.text.removeprefix("Q:").strip(), found.answer, found.options
        )

    def local(self, folder: Path) -> Splits | None:
        splits = super().local(folder)
        parts = {
            name: local_file(folder, f"{self.name}_{name}")
            for name in ("train", "validation", "test")
        }
        if splits is None and any(parts.values()):
            return self._official(
                {name: list(rows(path)) for name, path in parts.items() if path is not None}, folder
            )
        return splits

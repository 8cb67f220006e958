"""StrategyQA (Geva et al. 2021): 2,290 yes/no questions with facts; the index file of Ho et al. deals 1,603/687.

{"question": "Can a pen outweigh a whale?", "answer": "No", "rationale": "A pen weighs ..."}
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.yes_no import YesNo
from cotdistill.contracts import AnswerType
from cotdistill.data.rows import Row, text_of
from cotdistill.records import Question
from cotdistill.tasks._benchmark import Benchmark, Hub

__all__ = ["StrategyQA"]


class StrategyQA(Benchmark):
    """StrategyQA: yes/no questions whose steps are not in the question."""

    name: ClassVar[str] = "strategy_qa"
    kind: ClassVar[AnswerType] = YesNo()
    source: ClassVar[Hub | None] = Hub("ChilleD/StrategyQA")

    def question(self, row: Row, id: str) -> Question:
        facts = row.fields.get("rationale") or row.fields.get("facts") or ""
        rationale = " ".join((" ".join(facts) if isinstance(facts, list) else str(facts)).split())
        answer = self.canonical(text_of(row, ("answer",), "answer"), row)
        return Question(id, text_of(row, ("question",), "question"), answer, rationale=rationale)

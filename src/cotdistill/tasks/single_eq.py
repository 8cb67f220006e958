"""SingleEq (Koncel-Kedziorski et al. 2015): 508 word problems of one equation; the index file of Ho et al. deals 356/152.

{"question": "Ina had 12 pens. She lent Olaf some of them. ...", "answer": "5.0"}   (the form; the words are ours)
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType
from cotdistill.tasks._benchmark import Benchmark, Hub

__all__ = ["SingleEq"]


class SingleEq(Benchmark):
    """SingleEq: 508 word problems of one equation."""

    name: ClassVar[str] = "single_eq"
    kind: ClassVar[AnswerType] = Number()
    source: ClassVar[Hub | None] = Hub(
        "HuggingFaceTB/math_tasks",
        splits=(("train", "train"),),
        data_files="data/mawps/singleeq.jsonl",
    )

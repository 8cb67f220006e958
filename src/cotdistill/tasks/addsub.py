"""AddSub (Hosseini et al. 2014): 395 word problems of addition and subtraction; the index file of Ho et al. deals 276/119.

{"question": "Ina had 12 pens . She lent Olaf some of them . ...", "answer": "5"}   (the form; the words are ours)
"""

from __future__ import annotations

from typing import ClassVar

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType
from cotdistill.tasks._benchmark import Benchmark, Hub

__all__ = ["AddSub"]


class AddSub(Benchmark):
    """AddSub: 395 word problems of addition and subtraction."""

    name: ClassVar[str] = "addsub"
    kind: ClassVar[AnswerType] = Number()
    source: ClassVar[Hub | None] = Hub(
        "HuggingFaceTB/math_tasks",
        splits=(("train", "train"),),
        data_files="data/mawps/addsub.jsonl",
    )

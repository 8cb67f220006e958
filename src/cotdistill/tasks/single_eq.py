"""SingleEq (Koncel-Kedziorski et al. 2015): 508 word problems of one equation; Ho et al. deal
356/152.

{"question": "Ina had 12 pens. She lent Olaf some of them. ...", "answer": "5.0"}   (the form)
"""

from cotdistill.answers.number import Number
from cotdistill.tasks._benchmark import Benchmark, Hub


class SingleEq(Benchmark):
    """SingleEq: 508 word problems of one equation."""

    answers = Number()
    source = Hub(
        "HuggingFaceTB/math_tasks",
        splits=(("train", "train"),),
        data_files="data/mawps/singleeq.jsonl",
    )

"""AddSub (Hosseini et al. 2014): 395 word problems of addition and subtraction; Ho et al. deal
276/119.

{"question": "Ina had 12 pens . She lent Olaf some of them . ...", "answer": "5"}   (the form)
"""

from cotdistill.answers.number import Number
from cotdistill.tasks._benchmark import Benchmark, Hub


class AddSub(Benchmark):
    """AddSub: 395 word problems of addition and subtraction."""

    answers = Number()
    source = Hub(
        "HuggingFaceTB/math_tasks",
        splits=(("train", "train"),),
        data_files="data/mawps/addsub.jsonl",
    )

"""MultiArith (Roy and Roth 2015): 600 arithmetic word problems of two steps; default split 420/180,
template-wise 413/187.

{"question": "For Halloween Debby and her sister ...", "answer": "39"}
"""

from cotdistill.answers.number import Number
from cotdistill.tasks._benchmark import Benchmark, Hub


class MultiArith(Benchmark):
    """MultiArith: 600 two-step arithmetic word problems."""

    answers = Number()
    source = Hub("ChilleD/MultiArith")

"""Coin flip (Wei et al. 2022; the 500 questions of Kojima et al. and Ho et al. 2023): four people,
split 350/150.

{"question": "A coin lies heads up; four people flip it or do not. ...?", "answer": "yes"}

The lab's own generated task is `coin_flip`; this one is the published data set.
"""

from cotdistill.answers.yes_no import YesNo
from cotdistill.tasks._benchmark import Benchmark, Hub


class CoinFlipBenchmark(Benchmark):
    """Is the coin still heads up? The published 500 questions."""

    file = "coin_flip"
    answers = YesNo()
    source = Hub("skrishna/coin_flip")

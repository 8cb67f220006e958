"""Last-letter concatenation (Wei et al. 2022; the 500 questions of Kojima et al. and Ho et al.):
four names, split 350/150.

{"question": "Which word do the last letters of the names Ina Olaf Peer make?", "answer": "afr"}
"""

from cotdistill.answers.text import Text
from cotdistill.tasks._benchmark import Benchmark, Hub


class LastLetterConcatenation(Benchmark):
    """Last letters of four names, concatenated."""

    answers = Text()
    source = Hub("ChilleD/LastLetterConcat")

"""Last-letter concatenation (Wei et al. 2022; the 500 questions of Kojima et al. and Ho et al.
2023): four names, split 350/150.

{"question": "Which word do the last letters of the names Ina Olaf Peer Una make? ...", "answer": "afra"}

The split "ood" holds longer questions (six and eight names) made of the training questions' names.
"""

from __future__ import annotations

import random
import re

from cotdistill.answers.text import Text
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.tasks._names import longer
from cotdistill.tasks._splitting import Splits

__all__ = ["LastLetterConcatenation"]


class LastLetterConcatenation(Benchmark):
    """Last letters of four names, concatenated; longer out-of-distribution questions."""

    ood_lengths: tuple[int, ...] = (6, 8)
    """Numbers of names in the questions of the split "ood"."""
    ood_count: int = 100
    """Questions of each length."""

    answers = Text()
    source = Hub("ChilleD/LastLetterConcat")

    def extra_splits(self, splits: Splits) -> Splits:
        train = splits.get("train", [])
        return {
            "ood": [
                *longer(
                    self.name, train, _names, _make, self.ood_lengths, self.ood_count, self.seed
                )
            ]
        }


def _names(text: str) -> list[str]:
    quoted = re.search(r'"([^"]+)"', text)
    return quoted[1].split() if quoted else []


def _make(names: list[str], draw: random.Random, like: str) -> tuple[str, str, str]:
    text = re.sub(r'"[^"]+"', f'"{" ".join(names)}"', like)
    answer = "".join(name[-1] for name in names)
    steps = " ".join(f'The last letter of "{name}" is "{name[-1]}".' for name in names)
    return text, answer, f'{steps} Concatenating them is "{answer}".'

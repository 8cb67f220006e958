"""Coin flip (Wei et al. 2022; the 500 questions of Kojima et al. and Ho et al. 2023): four people,
split 350/150.

{"question": "A coin lies heads up; four people flip it or do not. ...?", "answer": "yes"}

The split "ood" holds longer questions (six and eight people) made of the training questions' names.
The lab's own generated task is `coin_flip`; this one is the published data set.
"""

from __future__ import annotations

import random
import re

from cotdistill.answers.yes_no import YesNo
from cotdistill.tasks._benchmark import Benchmark, Hub
from cotdistill.tasks._names import longer
from cotdistill.tasks._splitting import Splits

__all__ = ["CoinFlipBenchmark"]


class CoinFlipBenchmark(Benchmark):
    """Is the coin still heads up? The published 500 questions; longer out-of-distribution
    questions."""

    ood_lengths: tuple[int, ...] = (6, 8)
    """Numbers of people in the questions of the split "ood"."""
    ood_count: int = 100
    """Questions of each length."""

    file = "coin_flip"
    answers = YesNo()
    source = Hub("skrishna/coin_flip")

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
    return re.findall(r"(\w[\w'-]*) (?:flips|does not flip)", text)


def _make(names: list[str], draw: random.Random, like: str) -> tuple[str, str, str]:
    flips = [draw.random() < 0.5 for _ in names]
    actions = " ".join(
        f"{name} {'flips' if flip else 'does not flip'} the coin."
        for name, flip in zip(names, flips, strict=True)
    )
    told = r"(?:\w[\w'-]* (?:flips|does not flip) the coin\.\s*)+"
    text = re.sub(told, f"{actions} ", like)
    count = sum(flips)
    answer = "yes" if count % 2 == 0 else "no"
    parity = "even" if count % 2 == 0 else "odd"
    return (
        text,
        answer,
        f"The coin is flipped {count} times, which is an {parity} number, so it is {'heads' if answer == 'yes' else 'tails'} up.",
    )

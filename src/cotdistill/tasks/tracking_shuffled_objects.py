"""Tracking shuffled objects (BIG-bench, three objects): 750 questions; the index file of Ho et al.
deals 525/225.

{"question": "Three people hold a pen, a cup and a hat and swap them ... Answer choices: (A) pen, (B) ...", "answer": "C"}

The split "ood" holds longer questions: stories of training questions with five and seven swaps
instead of three.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from cotdistill.records import Question
from cotdistill.tasks._benchmark import Hub
from cotdistill.tasks._bigbench import BigBench
from cotdistill.tasks._splitting import Splits

__all__ = ["TrackingShuffledObjects"]


class TrackingShuffledObjects(BigBench):
    """Tracking shuffled objects: who holds what after three swaps."""

    ood_lengths: tuple[int, ...] = (5, 7)
    """Numbers of swaps in the questions of the split "ood"."""
    ood_count: int = 100
    """Questions of each length."""

    source = Hub(
        "tasksource/bigbench",
        "tracking_shuffled_objects",
        (("train", "train"), ("validation", "validation")),
    )

    def extra_splits(self, splits: Splits) -> Splits:
        return {"ood": list(self._longer(splits.get("train", [])))}

    def _longer(self, train: list[Question]) -> Iterator[Question]:
        """Question i of a length draws from its own seed; the answer is found by carrying the swaps
        out."""
        stories = [(question, told) for question in train if (told := _STORY.match(question.text))]
        for length in self.ood_lengths:
            for index in range(self.ood_count if stories else 0):
                draw = random.Random(f"{self.name}/{self.seed}/{length}/{index}")
                question, told = draw.choice(stories)
                holds = dict(zip(_PEOPLE, question.options, strict=True))
                swaps = []
                for number in range(length):
                    one, other = draw.sample(_PEOPLE, 2)
                    holds[one], holds[other] = holds[other], holds[one]
                    when = "First" if number == 0 else "Finally" if number == length - 1 else "Then"
                    swaps.append(f"{when}, {one} and {other} {told['swap']}.")
                text = f"{told['before']}{' '.join(swaps)}{told['after']}"
                answer = "ABC"[question.options.index(holds[told["who"]])]
                meta = {"length": length}
                yield Question(
                    f"{self.name}/ood/{length}/{index}", text, answer, question.options, meta=meta
                )


_PEOPLE = ("Alice", "Bob", "Claire")
_STORY = re.compile(
    r"(?P<before>.*?)First, \w+ and \w+ (?P<swap>[\w ]+?)\. Then, .*?Finally, [^.]*\."
    r"(?P<after> At the end of [\w ]+, (?P<who>Alice|Bob|Claire) .*)",
    re.DOTALL,
)

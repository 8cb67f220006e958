"""Longer out-of-distribution questions for the two symbolic tasks that are made of people's names."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

from cotdistill.records import Question

__all__ = ["longer"]


def longer(
    task: str,
    train: Iterable[Question],
    names_of: Callable[[str], list[str]],
    make: Callable[[list[str], random.Random, str], tuple[str, str, str]],
    lengths: tuple[int, ...],
    count: int,
    seed: int,
) -> Iterator[Question]:
    """`count` questions for each length, of names that stand in the training questions only; `make`
    writes one of them, in the words of a training question that it is given.

    Item i of a length draws from its own seed, so that asking for more of them keeps those there
    were.
    """
    known = list(train)
    names = sorted({name for question in known for name in names_of(question.text)})
    for length in lengths:
        for index in range(count if len(names) >= length else 0):
            draw = random.Random(f"{task}/{seed}/{length}/{index}")
            text, answer, rationale = make(draw.sample(names, length), draw, known[0].text)
            yield Question(
                f"{task}/ood/{length}/{index}",
                text,
                answer,
                rationale=rationale,
                meta={"length": length},
            )

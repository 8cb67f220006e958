"""A finished generation without a teacher: questions, and candidates as a teacher would give them.

Item n draws from its own seed, so that the first rows are the same however many are made. Of eight
candidates of a question some are right, some say what an earlier one says (copied with other white
space and case, or in other words with the same equations), and the rest are wrong, cut off, have no
answer, or an equation that does not hold.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import orjson

from cotdistill.records import Rationale

SAMPLES = 8
NAMES = ("Ana", "Ben", "Chloe", "Dev", "Emeka", "Fatima", "Goro", "Hana")
THINGS = ("apples", "stamps", "marbles", "tickets", "pencils", "shells", "coins", "cards")
OPENINGS = (
    "Let us work this out step by step.",
    "First we look at what was there at the start.",
    "We begin with what {name} has and go on from there.",
    "To solve this we follow the {things} through the story.",
    "I will keep count of the {things} as they come and go.",
)
FAULTS = ("right",) * 6 + ("copy", "reworded", "wrong answer", "wrong equation", "none", "cut off")


def question(split: str, n: int) -> dict[str, str]:
    """Return question n of a split as a row of a data file."""
    name, things, a, b, c = _story(n)
    text = (
        f"{name} keeps {things} in {split} basket {n}. There are {a} {things} in it in the morning."
        f" A friend puts in {b} more before noon, and {c} of them are given away in the evening."
        f" How many {things} are in the basket of {name} at the end of the day?"
    )
    return {"question": text, "answer": str(a + b - c)}


def _story(n: int) -> tuple[str, str, int, int, int]:
    draw = random.Random(n)
    a, b = draw.randint(2, 900), draw.randint(2, 900)
    return draw.choice(NAMES), draw.choice(THINGS), a, b, draw.randint(1, a + b - 1)


def candidates(n: int) -> Iterator[Rationale]:
    """Yield the candidates of training question n."""
    name, things, a, b, c = _story(n)
    draw, id, said = random.Random(f"candidates/{n}"), f"train/{n}", ""
    for index in range(SAMPLES):
        kind = draw.choice(FAULTS)
        first = draw.choice((f"{a} + {b} = {a + b}", f"{a}+{b} = {a + b}", f"{b} + {a} = {a + b}"))
        if kind == "wrong equation":
            first = f"{a} + {b} = {a + b + draw.randint(1, 9)}"
        text = (
            f"{draw.choice(OPENINGS).format(name=name, things=things)} In the morning there are {a}"
            f" {things}, and {b} are added, so {first}. In the evening {c} are given away, so"
            f" {a + b} - {c} = {a + b - c}. That is what {name} has {draw.choice(('left', 'now'))}."
        )
        if kind == "copy" and said:
            text = "  ".join(said.upper().split(" "))
        if kind == "reworded" and said:
            text = said.replace("In the evening", "Later").replace("added", "put in")
        said = text
        answer: str | None = str(a + b - c + (kind == "wrong answer"))
        extra = {"truncated": True} if kind == "cut off" else {}
        keys = (f"{draw.getrandbits(128):032x}",)
        answer = None if kind in ("none", "cut off") else answer
        yield Rationale(id, text, answer, index, keys=keys, extra=extra)


def write_questions(path: Path, split: str, count: int) -> None:
    """Write a data file of so many questions."""
    with path.open("wb") as file:
        for n in range(count):
            file.write(orjson.dumps(question(split, n), option=orjson.OPT_APPEND_NEWLINE))


def write_rationales(path: Path, count: int) -> int:
    """Write the first `count` candidates, a line for each question; return the questions."""
    left, n = count, 0
    with path.open("wb") as file:
        while left > 0:
            found = list(itertools.islice(candidates(n), left))
            row = {"question": f"train/{n}", "rationales": found}
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            left, n = left - len(found), n + 1
    return n

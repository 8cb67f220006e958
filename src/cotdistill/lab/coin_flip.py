"""A coin and people who may turn it over; is it still the same side up? 3 to 7, "ood" 8 to 11.

    A coin is heads up. Ana flips the coin. Bo does not flip the coin. Cal flips the coin twice.
    Is the coin still heads up?
    -> Ana flips it, so it is tails up. Bo does not, so it is tails up. Cal flips it twice, so it is
    tails up.   [no]

The kind of question is that of "coin flip" in Chain-of-Thought Prompting (Wei et al. 2022,
section 5); the wordings are our own.
"""

import random

from cotdistill.contracts import Split
from cotdistill.lab.problem import NAMES, Problem, shape_of, templates

TURNS = ("none", "once", "twice")


def draw(rng: random.Random, split: Split) -> Problem:
    """Draw one row of people."""
    words = templates("coin_flip")
    wording = rng.choice(words["wordings"])
    count = rng.randint(8, 11) if split == "ood" else rng.randint(3, 7)
    people = rng.sample(NAMES, count)
    turns = [rng.choice((0, 0, 1, 1, 1, 2)) for _ in people]
    start, asked = rng.choice(("heads", "tails")), rng.choice(("heads", "tails"))
    acts = list(zip(people, turns, strict=True))
    told = [rng.choice(wording[TURNS[turn]]).format(n=name) for name, turn in acts]
    text = " ".join([wording["start"].format(s=start), *told, wording["ask"].format(t=asked)])
    moves, side = [], start
    for name, turn in acts:
        before, side = side, {"heads": "tails", "tails": "heads"}[side] if turn == 1 else side
        moves.append((TURNS[turn], {"n": name, "v": before, "w": side, "result": side}))
    answer = "yes" if side == asked else "no"
    moves.append(("last", {"t": asked, "w": side, "result": answer}))
    facts = [rng.choice(words["facts"][TURNS[turn]]).format(n=name) for name, turn in acts]
    return Problem.solved(
        words,
        moves,
        text=text,
        answer=answer,
        template=shape_of(text, NAMES),
        content=" ".join([start, asked, *(f"{name}{turn}" for name, turn in acts)]),
        facts=(f"It starts with {start}.", *facts),
    )

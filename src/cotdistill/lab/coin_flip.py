"""A coin and a row of people who may or may not turn it over; is it still the same side up? 3 to 7 people, "ood" 8 to 11.

    A coin is heads up. Ana flips the coin. Bo does not flip the coin. Cal flips the coin twice. Is the coin still heads up?
    -> Ana flips it, so it is tails up. Bo does not, so it is tails up. Cal flips it twice, so it is tails up.   [no]

The kind of question is that of "coin flip" in Chain-of-Thought Prompting (Wei et al. 2022, section 5); wordings are our own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from cotdistill.contracts import Split
from cotdistill.lab.problem import NAMES, STYLES, Problem, shape_of

__all__ = ["SOLUTIONS", "WORDINGS", "Wording", "draw", "other_side"]


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to tell it; `flips[m]` says that {n} turns the coin m times. {s} is the side it starts with, {t} the side asked for."""

    start: str
    flips: tuple[tuple[str, ...], ...]
    ask: str


WORDINGS: tuple[Wording, ...] = (
    Wording(
        "A coin is {s} up.",
        (
            ("{n} does not flip the coin.",),
            ("{n} flips the coin.",),
            ("{n} flips the coin twice.",),
        ),
        "Is the coin still {t} up?",
    ),
    Wording(
        "The coin lies {s} up.",
        (
            ("{n} does not turn it.", "{n} lets it lie."),
            ("{n} turns it.",),
            ("{n} turns it twice.",),
        ),
        "Does it lie {t} up now?",
    ),
    Wording(
        "A coin shows {s}.",
        (
            ("{n} leaves it.", "Then {n} leaves the coin."),
            ("{n} turns it over.",),
            ("{n} turns it over twice.",),
        ),
        "Does the coin show {t} at the end?",
    ),
    Wording(
        "At first the coin is {s} up.",
        (("Then {n} does not flip.",), ("Then {n} flips.",), ("Then {n} flips twice.",)),
        "Is it {t} up in the end?",
    ),
    Wording(
        "At first a coin shows {s}.",
        (("{n} does not flip it.",), ("{n} flips it.",), ("{n} flips it twice.",)),
        "Is it {t} up at the end?",
    ),
    Wording(
        "The coin is {s} up.",
        (("Then {n} does not turn it.",), ("Then {n} turns it.",), ("Then {n} turns it twice.",)),
        "Is the coin {t} up now?",
    ),
    Wording(
        "At first a coin lies {s} up.",
        (
            ("{n} leaves the coin.", "{n} does not turn the coin."),
            ("{n} turns the coin.",),
            ("{n} turns the coin twice.",),
        ),
        "Does the coin still lie {t} up?",
    ),
    Wording(
        "The coin shows {s} at first.",
        (
            ("Then {n} does not turn it over.",),
            ("Then {n} turns it over.",),
            ("Then {n} turns it over twice.",),
        ),
        "Is the coin {t} up in the end?",
    ),
    Wording(
        "A coin is {s} up at first.",
        (
            ("Then {n} leaves it.", "Then {n} lets it lie."),
            ("Then {n} flips it.",),
            ("Then {n} flips it twice.",),
        ),
        "Does it still show {t}?",
    ),
)

SOLUTIONS: tuple[tuple[str, ...], ...] = (
    (
        "{n} does not, so it is {w}.",
        "{n} flips it, so it is {w}.",
        "{n} flips it twice, so it is {w}.",
    ),
    (
        "It is {v}, {n} leaves it, still {w}.",
        "It is {v}, {n} turns it, now {w}.",
        "It is {v}, {n} turns it twice, still {w}.",
    ),
    ("After {n} it is still {w}.", "After {n} it turns to {w}.", "After {n} it is {w} again."),
    (
        "From {v} no turn by {n} gives {w}.",
        "From {v} one turn by {n} gives {w}.",
        "From {v} two turns by {n} give {w}.",
    ),
)
"""By style, then by how often the person turns the coin; {v} is the side before, {w} after."""

LAST = (
    "At the end for {t} we see {w}.",
    "We see for {t} now {w}.",
    "It says {t}, we see {w}.",
    "So for {t} it is {w}.",
)
"""The side asked for beside the side that is up."""

FACTS = (
    ("{n} does not.", "{n} leaves it.", "No turn by {n}."),
    ("{n} flips it.", "{n} turns it.", "One turn by {n}."),
    ("{n} flips it twice.", "{n} turns it twice.", "Two turns by {n}."),
)


def other_side(side: str) -> str:
    """Tails for heads, heads for tails."""
    return "tails" if side == "heads" else "heads"


def draw(rng: random.Random, split: Split) -> Problem:
    """One row of people."""
    wording = rng.choice(WORDINGS)
    count = rng.randint(8, 11) if split == "ood" else rng.randint(3, 7)
    people = rng.sample(NAMES, count)
    turns = [rng.choice((0, 0, 1, 1, 1, 2)) for _ in people]
    start, asked = rng.choice(("heads", "tails")), rng.choice(("heads", "tails"))
    sides = [start]
    for turn in turns:
        sides.append(other_side(sides[-1]) if turn == 1 else sides[-1])
    sentences = [
        rng.choice(wording.flips[turn]).format(n=name)
        for name, turn in zip(people, turns, strict=True)
    ]
    text = " ".join([wording.start.format(s=start), *sentences, wording.ask.format(t=asked)])
    steps = list(zip(people, turns, sides, sides[1:], strict=False))
    return Problem(
        text=text,
        answer="yes" if sides[-1] == asked else "no",
        template=shape_of(text, NAMES),
        content=" ".join(
            [start, asked, *(f"{name}{turn}" for name, turn in zip(people, turns, strict=True))]
        ),
        subquestions=(
            *(f"Which side is up after {name}?" for name in people),
            f"What do we see for {asked}?",
        ),
        step_answers=(*sides[1:], "yes" if sides[-1] == asked else "no"),
        solutions=tuple(
            (
                *(
                    SOLUTIONS[style][turn].format(n=name, v=before, w=after)
                    for name, turn, before, after in steps
                ),
                LAST[style].format(t=asked, w=sides[-1]),
            )
            for style in range(STYLES)
        ),
        facts=(
            f"It starts with {start}.",
            *(
                rng.choice(FACTS[turn]).format(n=name)
                for name, turn in zip(people, turns, strict=True)
            ),
        ),
    )

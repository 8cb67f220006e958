"""Three people have a card each and swap in pairs 2 or 3 times ("ood": 4 to 6); which color does one of them have at the end?

    Ana has red, Bo has gold, Cal has blue. First Ana and Bo swap. Then Bo and Cal swap. What does Bo have at the end?
    Options: (A) red (B) blue (C) gold
    -> First Ana has red, Bo has gold, then Ana has gold, Bo has red. ... So Bo has blue: (A) red is blue no, (B) blue is blue yes.   [B]

The kind of question is that of BIG-bench "tracking shuffled objects" (Srivastava et al. 2022); wordings are our own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from cotdistill.contracts import Split
from cotdistill.lab.problem import NAMES, STYLES, Problem, compared, shape_of

__all__ = ["SOLUTIONS", "WORDINGS", "Wording", "draw"]


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to tell it. `start` holds for {a}, {b}, {c} with things {x}, {y}, {z}; {n} is the person asked about."""

    start: str
    first: tuple[str, ...]
    then: tuple[str, ...]
    ask: str


WORDINGS: tuple[Wording, ...] = (
    Wording(
        "{a} has {x}, {b} has {y}, {c} has {z}.",
        ("First {a} and {b} swap.",),
        ("Then {a} and {b} swap.",),
        "What does {n} have at the end?",
    ),
    Wording(
        "{a} has {x}. {b} has {y}. {c} has {z}.",
        ("{a} trades with {b}.", "{a} swaps with {b}."),
        ("{a} trades with {b}.", "{a} swaps with {b}."),
        "Which thing does {n} hold now?",
    ),
    Wording(
        "At the start {a} has {x}, {b} has {y} and {c} has {z}.",
        ("Then {a} trades with {b}.",),
        ("After that {a} trades with {b}.", "Then {a} trades with {b}."),
        "What does {n} hold in the end?",
    ),
    Wording(
        "In a game {a} has {x}, {b} has {y} and {c} has {z}.",
        ("{a} and {b} trade.",),
        ("{a} and {b} trade.", "Now {a} and {b} trade."),
        "What has {n} got at the end?",
    ),
    Wording(
        "At the start {a} has {x}, {b} has {y}, {c} has {z}.",
        ("First {a} and {b} trade.",),
        ("Then {a} and {b} trade.",),
        "What does {n} have now?",
    ),
    Wording(
        "{a} has {x}, {b} has {y}, {c} has {z}.",
        ("{a} and {b} swap.",),
        ("After that {a} and {b} swap.",),
        "Which thing does {n} have at the end?",
    ),
    Wording(
        "In a game {a} has {x}, {b} has {y} and {c} has {z}.",
        ("First {a} swaps with {b}.",),
        ("Then {a} swaps with {b}.", "After that {a} swaps with {b}."),
        "What does {n} have in the end?",
    ),
    Wording(
        "{a} has {x}. {b} has {y}. {c} has {z}.",
        ("First {a} trades with {b}.",),
        ("Now {a} trades with {b}.", "Now {a} and {b} swap."),
        "Which thing does {n} hold at the end?",
    ),
    Wording(
        "At the start {a} has {x}, {b} has {y} and {c} has {z}.",
        ("Then {a} and {b} trade.",),
        ("After that {a} and {b} trade.",),
        "Which thing has {n} got now?",
    ),
)

THINGS = ("red", "blue", "green", "white", "black", "pink", "gold", "gray", "brown", "silver")
"""Colors of the cards they have."""

SOLUTIONS: tuple[str, ...] = (
    "{p} has {v} and {q} has {u}, so {p} has {u} and {q} has {v}.",
    "First {p} has {v}, {q} has {u}, then {p} has {u}, {q} has {v}.",
    "{p} has {v}, {q} has {u}: now {p} has {u}, {q} has {v}.",
    "Then {p} has {v}, {q} has {u}, so now {p} has {u}, {q} has {v}.",
)
"""A swap of {p}, who holds {v} before it, and {q}, who holds {u}."""

LAST: tuple[str, ...] = (
    "At the end {n} has {o}: {l}.",
    "So {n} has {o}: {l}.",
    "In the end {n} has {o}: {l}.",
    "We see that {n} has {o}: {l}.",
)


def draw(rng: random.Random, split: Split) -> Problem:
    """One game."""
    wording = rng.choice(WORDINGS)
    people, things = rng.sample(NAMES, 3), rng.sample(THINGS, 3)
    count = rng.randint(4, 6) if split == "ood" else rng.randint(2, 3)
    swaps: list[tuple[str, str]] = []
    while len(swaps) < count:
        first, second = rng.sample(people, 2)
        if not swaps or {first, second} != set(swaps[-1]):
            swaps.append((first, second))
    holder = dict(zip(people, things, strict=True))
    states: list[dict[str, str]] = []
    for first, second in swaps:
        holder = {**holder, first: holder[second], second: holder[first]}
        states.append(holder)
    asked = rng.choice(people)
    options = rng.sample(things, 3)
    names = dict(zip("abc", people, strict=True))
    frames = [rng.choice(wording.first if i == 0 else wording.then) for i in range(count)]
    start = wording.start.format(**names, **dict(zip("xyz", things, strict=True)))
    told = [frame.format(a=a, b=b) for frame, (a, b) in zip(frames, swaps, strict=True)]
    text = " ".join([start, *told, wording.ask.format(n=asked)])
    letter = "ABC"[options.index(holder[asked])]
    return Problem(
        text=text,
        answer=letter,
        template=shape_of(" ".join([text, *options]), {*NAMES, *THINGS}),
        content=" ".join([*people, *things, asked, *(f"{a}-{b}" for a, b in swaps)]),
        subquestions=(
            *(f"Who has what after {a} and {b}?" for a, b in swaps),
            f"What does {asked} have?",
        ),
        step_answers=(
            *(", ".join(state[name] for name in people) for state in states),
            holder[asked],
        ),
        solutions=tuple(
            (
                *_solution(style, people, swaps, states),
                LAST[style].format(n=asked, o=holder[asked], l=compared(options, holder[asked])),
            )
            for style in range(STYLES)
        ),
        facts=_facts(rng, people, things, swaps, options),
        options=tuple(options),
    )


def _solution(
    style: int, people: list[str], swaps: list[tuple[str, str]], states: list[dict[str, str]]
) -> list[str]:
    return [
        SOLUTIONS[style].format(p=p, q=q, u=state[p], v=state[q])
        for (p, q), state in zip(swaps, states, strict=True)
    ]


def _facts(
    rng: random.Random,
    people: list[str],
    things: list[str],
    swaps: list[tuple[str, str]],
    options: list[str],
) -> tuple[str, ...]:
    held = [
        rng.choice(("{} has {}.", "{} {}.", "{} holds {}.")).format(n, t)
        for n, t in zip(people, things, strict=True)
    ]
    swapped = [
        rng.choice(("{} and {} swap.", "After {} and {}.", "{} with {}.")).format(a, b)
        for a, b in swaps
    ]
    letters = [f"({letter}) is {option}." for letter, option in zip("ABC", options, strict=True)]
    mapped = [f"{option} is ({letter})." for letter, option in zip("ABC", options, strict=True)]
    choice = rng.choice((letters, mapped))
    rng.shuffle(choice)
    return (*held, *swapped, *choice)

"""Multiple-choice questions whose answer follows from two or three given facts chained ("ood": four or five).

The facts stand in the question's context, in random order, with the chains of two other names as distractors.

    What does Bo like?
    Context: Every cook likes tea. Ana is a fox. Bo is a cook. Every fox likes milk. ...
    Options: (A) milk (B) rice (C) tea (D) cake
    -> Here Bo is a cook. So cook leads to tea: Bo likes tea: (A) milk is tea no, (B) rice is tea no, (C) tea is tea yes.   [C]
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from cotdistill.contracts import Split
from cotdistill.lab.problem import NAMES, STYLES, Problem, compared, shape_of

__all__ = ["WORLDS", "Wording", "World", "draw"]


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to tell a world's facts. {n}: who; {k}, {r}: links; {t}: the end of the chain."""

    is_a: str
    link: str
    end: str
    ask: str


@dataclass(frozen=True, slots=True)
class World:
    """Who, links and ends; `is_a` and `ends` are how solutions write what was found out about {n}."""

    names: tuple[str, ...]
    links: tuple[str, ...]
    ends: tuple[str, ...]
    found_link: str
    found_end: str
    wordings: tuple[Wording, ...]


OBJECTS = (
    "key",
    "map",
    "cup",
    "hat",
    "pen",
    "bell",
    "lamp",
    "rope",
    "drum",
    "kite",
    "ring",
    "ball",
)

WORLDS: dict[str, World] = {
    "likes": World(
        tuple(NAMES),
        ("fox", "cook", "singer", "farmer", "painter", "runner", "pilot", "baker", "dancer", "sailor"),
        ("tea", "milk", "rice", "cake", "soup", "bread", "corn", "juice"),
        "{n} is a {k}",
        "{n} likes {t}",
        (
                Wording("{n} is a {k}.", "Every {k} is a {r}.", "Every {k} likes {t}.", "What does {n} like?"),
                Wording("{n} is a {k}.", "Each {k} is a {r}.", "Each {k} eats {t}.", "What does {n} eat?"),
                Wording("{n} works as a {k}.", "Any {k} is also a {r}.", "Any {k} wants {t}.", "What does {n} want?"),
                Wording("{n} works as a {k}.", "Each {k} is also a {r}.", "Each {k} likes {t}.", "Which does {n} like?"),
                Wording("{n} is a {k}.", "Any {k} is a {r}.", "Every {k} wants {t}.", "Which does {n} want?"),
                Wording("{n} works as a {k}.", "Every {k} is also a {r}.", "Any {k} eats {t}.", "Which does {n} eat now?"),
        ),
    ),
    "places": World(
        OBJECTS,
        ("box", "bag", "jar", "room", "house", "garden", "shop", "car", "tent", "boat"),
        ("Rome", "Paris", "London", "Berlin", "Tokyo", "Cairo", "Lima", "Oslo"),
        "{n} is in the {k}",
        "{n} is in {t}",
        (
                Wording("The {n} is in the {k}.", "The {k} is in the {r}.", "The {k} is in {t}.", "Which city is the {n} in?"),
                Wording("The {n} lies in the {k}.", "The {k} stands in the {r}.", "The {k} stands in {t}.", "In which city is the {n}?"),
                Wording("The {k} has the {n}.", "The {r} has the {k}.", "{t} has the {k}.", "Which city has the {n}?"),
                Wording("The {n} is in the {k}.", "The {k} stands in the {r}.", "The {k} stands in {t}.", "Which city is the {n} now in?"),
                Wording("The {n} lies in the {k}.", "The {k} is in the {r}.", "The {k} is in {t}.", "In which city is the {n} now?"),
                Wording("The {n} stands in the {k}.", "The {k} lies in the {r}.", "The {k} lies in {t}.", "In which city does the {n} lie?"),
        ),
    ),
    "rules": World(
        tuple(NAMES),
        ("red", "blue", "green", "white", "black", "pink", "gold", "gray", "brown", "silver"),
        ("guitar", "piano", "chess", "tennis", "golf", "poker", "flute", "football"),
        "{n} is {k}",
        "{n} plays {t}",
        (
                Wording("{n} is in team {k}.", "Team {k} is in group {r}.", "Group {k} plays {t}.", "What does {n} play?"),
                Wording("{n} is {k}.", "If {k}, then also {r}.", "If {k}, then {t}.", "What is right for {n}?"),
                Wording("{n} got a {k} card.", "Who has {k} gets {r}.", "Who has {k} plays {t}.", "What will {n} play?"),
                Wording("{n} got a {k} card.", "If {k}, then also {r}.", "Who has {k} plays {t}.", "Which does {n} play?"),
                Wording("{n} is {k}.", "Who is {k} is also {r}.", "Who is {k} plays {t}.", "Which does {n} play now?"),
                Wording("{n} has a {k} card.", "Who has {k} has also {r}.", "If {k}, then {t}.", "Which is right for {n}?"),
        ),
    ),
}  # fmt: skip

_VARIABLE = {name: {*world.names, *world.links, *world.ends} for name, world in WORLDS.items()}

FIRST: tuple[str, ...] = ("We know {f}.", "First, {f}.", "Here {f}.", "It says {f}.")
NEXT: tuple[str, ...] = (
    "From {k} we get {r}, so {f}.",
    "Then {k} gives {r}, so {f}.",
    "So {k} leads to {r}: {f}.",
    "With {k} comes {r}.",
)


def draw(rng: random.Random, split: Split) -> Problem:
    """One quiz question."""
    name = rng.choice(sorted(WORLDS))
    world = WORLDS[name]
    wording = rng.choice(world.wordings)
    facts_needed = rng.randint(4, 5) if split == "ood" else rng.randint(2, 3)
    links_each = facts_needed - 1
    who = rng.sample(world.names, 3 if facts_needed == 2 else 2)
    links = rng.sample(world.links, links_each * len(who))
    ends = rng.sample(world.ends, len(who))
    chains = [links[i * links_each : (i + 1) * links_each] for i in range(len(who))]
    facts = [
        _facts(wording, n, chain, end) for n, chain, end in zip(who, chains, ends, strict=True)
    ]
    context = [fact for chain in facts for fact in chain]
    rng.shuffle(context)
    others = [end for end in world.ends if end not in ends]
    options = [*ends, *rng.sample(others, 4 - len(ends))]
    rng.shuffle(options)
    letter = "ABCD"[options.index(ends[0])]
    found = [world.found_link.format(n=who[0], k=link) for link in chains[0]]
    found.append(world.found_end.format(n=who[0], t=ends[0]))
    path = [*chains[0], ends[0]]
    return Problem(
        text=wording.ask.format(n=who[0]),
        answer=letter,
        template=shape_of(
            " ".join([wording.ask.format(n=who[0]), *context, *options]), _VARIABLE[name]
        ),
        content=" ".join([name, who[0], *path, *sorted(context)])
        if split == "ood"
        else " ".join([name, who[0], *path]),
        subquestions=(
            f"What do we know about {who[0]}?",
            *(f"What comes with {link}?" for link in chains[0]),
        ),
        step_answers=tuple(path),
        solutions=tuple(
            _solution(style, path, found, compared(options, ends[0])) for style in range(STYLES)
        ),
        facts=_restatements(rng, context, options),
        options=tuple(options),
        context=" ".join(context),
    )


def _facts(wording: Wording, name: str, chain: list[str], end: str) -> list[str]:
    first = wording.is_a.format(n=name, k=chain[0])
    links = [wording.link.format(k=k, r=r) for k, r in itertools.pairwise(chain)]
    return [first, *links, wording.end.format(k=chain[-1], t=end)]


def _solution(style: int, path: list[str], found: list[str], choice: str) -> tuple[str, ...]:
    steps = [
        NEXT[style].format(k=k, r=r, f=f)
        for k, r, f in zip(path, path[1:], found[1:], strict=False)
    ]
    return (FIRST[style].format(f=found[0]), *steps[:-1], f"{steps[-1][:-1]}: {choice}.")


def _restatements(rng: random.Random, context: list[str], options: list[str]) -> tuple[str, ...]:
    letters = [f"({letter}) is {option}." for letter, option in zip("ABCD", options, strict=True)]
    mapped = [f"{option} is ({letter})." for letter, option in zip("ABCD", options, strict=True)]
    choice = rng.choice((letters, mapped))
    rng.shuffle(choice)
    return (*rng.sample(context, 4), *choice)

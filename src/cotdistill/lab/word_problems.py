"""Arithmetic stories of 2 to 5 steps ("ood": 6 to 8) with +, - and *; every result is below 1000, most below 100.

A story starts with a number of things, goes through events (some more come, some go, packs come) and ends in a
question, sometimes after a comparison or a price. Example:

    Ana has 12 apples. Ana buys 7 more apples. Ana eats 4 apples. How many apples does Ana have now?
    -> There are 12 and 7 more, so 12 + 7 = 19. There are 19 but 4 go away, so 19 - 4 = 15.   [15]
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from cotdistill.contracts import Split
from cotdistill.lab.problem import NAMES, STYLES, Problem, shape_of

__all__ = ["SOLUTIONS", "WORDINGS", "Move", "Wording", "draw"]


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to tell a story. {n}, {f}: names; {i}: things; {c}: packs; {p}: place; {gv}, {lv}: verbs; numbers a, x, k."""

    start: str
    gain: tuple[str, ...]
    loss: tuple[str, ...]
    pack: str
    ask: str
    times: str
    worth: str
    more: str


WORDINGS: tuple[Wording, ...] = (
    Wording(
        "{n} has {a} {i}.",
        ("{n} {gv} {x} more {i}.", "{n} {gv} {x} {i} more."),
        ("{n} {lv} {x} {i}.", "{n} {lv} {x} of the {i}."),
        "{n} {gv} {k} {c} with {x} {i} each.",
        "How many {i} does {n} have now?",
        "{f} has {k} times as many {i}. How many {i} does {f} have?",
        "Each one costs {k} dollars. How many dollars do they cost together?",
        "{f} has {x} more {i} than {n}. How many {i} do they have together?",
    ),
    Wording(
        "There are {a} {i} in the {p}.",
        ("{n} puts {x} more {i} in the {p}.", "{n} brings {x} {i}."),
        ("{n} takes {x} {i} out of the {p}.", "{n} takes away {x} {i}."),
        "{n} brings {k} {c} of {x} {i}.",
        "How many {i} are in the {p}?",
        "Another {p} has {k} times as many. How many {i} are in it?",
        "Each of them costs {k} dollars. What do they all cost?",
        "Another {p} has {x} more. How many {i} are there together?",
    ),
    Wording(
        "{n} starts the day with {a} {i}.",
        ("{f} gives {n} {x} {i}.", "Then {n} gets {x} {i} from {f}."),
        ("{n} gives {x} {i} to {f}.", "Then {f} takes {x} {i}."),
        "{f} gives {n} {k} {c} with {x} {i} each.",
        "How many {i} does {n} have at the end?",
        "In the end {f} has {k} times as many as {n}. How many {i} does {f} have?",
        "All {i} are sold for {k} dollars each. How many dollars does {n} get?",
        "In the end {f} has {x} more. How many {i} do {n} and {f} have?",
    ),
    Wording(
        "On Monday {n} {gv} {a} {i}.",
        ("The next day {n} {gv} {x} more.", "Later {n} {gv} another {x} {i}."),
        ("The next day {n} {lv} {x}.", "Later {n} {lv} {x} {i}."),
        "The next day {n} gets {k} {c} of {x} {i}.",
        "How many {i} are left?",
        "Now {f} has {k} times as many {i} as {n}. What number is that?",
        "One costs {k} dollars. How many dollars are they worth?",
        "Now {f} has {x} {i} more than {n}. How many {i} are there in all?",
    ),
    Wording(
        "A {p} holds {a} {i}.",
        ("Then {x} {i} are added.", "Then {x} more {i} come."),
        ("Then {x} {i} are taken away.", "Then {x} of them go away."),
        "Then {k} {c} with {x} {i} each are added.",
        "How many {i} does the {p} hold now?",
        "The next {p} holds {k} times as many. How many {i} does it hold?",
        "They are worth {k} dollars each. How many dollars is that?",
        "The next {p} holds {x} more. How many {i} do both hold?",
    ),
    Wording(
        "At the start {n} has {a} {i}.",
        ("The next day {n} gets {x} {i}.",),
        ("The next day {f} takes {x} {i}.",),
        "The next day {n} {gv} {k} {c} with {x} {i}.",
        "How many {i} does {n} have?",
        "{f} has {k} times as many {i} as {n}. How many {i} are that?",
        "Each one is worth {k} dollars. How many dollars are they worth?",
        "{f} has {x} {i} more. How many {i} do they have in all?",
    ),
    Wording(
        "On Monday there are {a} {i} in the {p}.",
        ("Then {n} puts {x} {i} in the {p}.",),
        ("Then {n} takes {x} {i}.",),
        "Then {n} puts {k} {c} of {x} {i} in the {p}.",
        "How many {i} are there now?",
        "The next {p} has {k} times as many {i}. How many {i} is that?",
        "They cost {k} dollars each. How many dollars do they all cost?",
        "The next {p} has {x} more {i}. How many {i} are in both?",
    ),
    Wording(
        "On Monday {n} has {a} {i}.",
        ("Then {n} {gv} {x} more {i}.", "Then {n} {gv} another {x}."),
        ("Then {n} {lv} {x} {i}.", "Then {n} {lv} {x} of them."),
        "Then {n} gets {k} {c} with {x} {i} each.",
        "How many {i} does {n} have in the end?",
        "{f} has {k} times as many as {n}. How many {i} does {f} have now?",
        "Each one costs {k} dollars. How many dollars do all {i} cost?",
        "{f} has {x} more than {n}. How many {i} do both have together?",
    ),
    Wording(
        "The {p} has {a} {i} in it.",
        ("Later {n} brings {x} more {i}.", "Later {x} {i} are added."),
        ("Later {n} takes {x} {i} away.", "Later {x} {i} are taken out."),
        "Later {n} brings {k} {c} with {x} {i} each.",
        "How many {i} does the {p} have at the end?",
        "Another {p} holds {k} times as many {i}. How many {i} does it hold now?",
        "All of them cost {k} dollars each. How many dollars is that together?",
        "Another {p} holds {x} more {i}. How many {i} do they hold together?",
    ),
    Wording(
        "{n} starts with {a} {i}.",
        ("Later {f} gives {x} {i} to {n}.", "{n} gets another {x} {i}."),
        ("Later {n} gives {f} {x} {i}.", "{f} takes away {x} {i}."),
        "{f} brings {n} {k} {c} of {x} {i}.",
        "How many {i} are left at the end?",
        "Now {f} has {k} times as many {i}. How many {i} are there?",
        "They are sold for {k} dollars each. How many dollars are they worth?",
        "Now {f} has {x} more {i}. What do {n} and {f} have together?",
    ),
)

THINGS = (
    ("apples", "bags", "buys picks finds", "eats sells drops"),
    ("books", "boxes", "buys finds borrows", "sells loses returns"),
    ("marbles", "bags", "wins finds buys", "loses drops sells"),
    ("cookies", "boxes", "bakes buys makes", "eats sells drops"),
    ("stamps", "packs", "buys finds collects", "loses sells uses"),
    ("cards", "packs", "wins buys collects", "loses sells returns"),
    ("pencils", "packs", "buys finds borrows", "loses breaks returns"),
    ("shells", "bags", "finds collects picks", "loses breaks drops"),
    ("eggs", "boxes", "collects buys finds", "breaks eats uses"),
    ("roses", "bags", "picks buys collects", "sells drops uses"),
    ("beads", "jars", "buys makes finds", "loses uses drops"),
    ("candles", "boxes", "makes buys finds", "uses breaks sells"),
)
_VARIABLE = {*NAMES, *(word for row in THINGS for text in row for word in text.split())}
PLACES = ["box", "basket", "room", "shop", "jar", "garden", "house"]

SOLUTIONS: dict[str, tuple[str, ...]] = {
    "add": (
        "There are {v} and {x} more, so {v} + {x} = {w}.",
        "We add {x} to {v}: {v} + {x} = {w}.",
        "{v} {i} and {x} {i} make {v} + {x} = {w} {i}.",
        "With {x} more it is {v} + {x} = {w}.",
    ),
    "subtract": (
        "There are {v} but {x} go away, so {v} - {x} = {w}.",
        "We take {x} from {v}: {v} - {x} = {w}.",
        "{v} {i} without {x} {i} are {v} - {x} = {w} {i}.",
        "With {x} less it is {v} - {x} = {w}.",
    ),
    "pack": (
        "There are {v} {c} of {x}, so {v} * {x} = {w}.",
        "We count {v} {c} of {x}: {v} * {x} = {w}.",
        "{v} {c} with {x} {i} make {v} * {x} = {w} {i}.",
        "With {x} in {v} {c} it is {v} * {x} = {w}.",
    ),
    "times": (
        "There are {v} and {x} times as many, so {v} * {x} = {w}.",
        "We take {v} {x} times: {v} * {x} = {w}.",
        "{x} times {v} {i} make {v} * {x} = {w} {i}.",
        "With {x} times as many it is {v} * {x} = {w}.",
    ),
    "worth": (
        "There are {v} for {x} dollars each, so {v} * {x} = {w}.",
        "We pay {x} dollars for {v}: {v} * {x} = {w}.",
        "{v} {i} for {x} dollars make {v} * {x} = {w} dollars.",
        "With {x} dollars each it is {v} * {x} = {w}.",
    ),
}

SUBQUESTIONS = {
    "add": "How many {i} are there with {x} more?",
    "subtract": "How many {i} are left without {x}?",
    "pack": "How many {i} are in {v} {c} of {x}?",
    "times": "How many {i} are {x} times as many?",
    "worth": "How many dollars are {x} for each?",
}

FACTS = {
    "start": ("It starts with {x} {i}.", "First there are {x}.", "{x} {i} at the start."),
    "add": ("Then {x} more come.", "There are {x} more.", "{x} {i} are added."),
    "subtract": ("Then {x} go away.", "{x} are taken away.", "{x} {i} less."),
    "pack": ("Then {k} {c} of {x} come.", "There are {k} {c} of {x}.", "{k} {c} with {x} {i}."),
    "times": ("The other is {x} times as many.", "{x} times as many."),
    "worth": ("They are {x} dollars each.", "{x} dollars for each."),
    "more": ("The other has {x} more.", "{x} {i} more, both together."),
}


@dataclass(frozen=True, slots=True)
class Move:
    """One step of arithmetic: `kind` says which operation, v op x = w."""

    kind: str
    v: int
    x: int
    w: int


class _Story:
    """A story being told: its sentences, the facts they give and the arithmetic they lead to."""

    def __init__(self, rng: random.Random, wording: Wording) -> None:
        things, packs, gains, losses = rng.choice(THINGS)
        first, friend = rng.sample(NAMES, 2)
        self.rng, self.wording = rng, wording
        self.words = {"n": first, "f": friend, "i": things, "c": packs, "p": rng.choice(PLACES)}
        self.gains, self.losses = gains.split(), losses.split()
        self.sentences: list[str] = []
        self.facts: list[str] = []
        self.moves: list[Move] = []

    def tell(self, frame: str, **numbers: int) -> None:
        gain, loss = self.rng.choice(self.gains), self.rng.choice(self.losses)
        self.sentences.append(frame.format(gv=gain, lv=loss, **self.words, **numbers))

    def note(self, kind: str, **numbers: int) -> None:
        self.facts.append(self.rng.choice(FACTS[kind]).format(**self.words, **numbers))

    def start(self, total: int) -> None:
        self.tell(self.wording.start, a=total)
        self.note("start", x=total)

    def event(self, total: int, room: int) -> int:
        """Some come or go, or packs come if there is room for two steps; returns the new total."""
        kind = "subtract"
        if total <= 70:
            kinds = (
                ["add", "add"]
                + ["subtract"] * (2 if total > 5 else 0)
                + ["pack"] * (1 if room >= 2 else 0)
            )
            kind = self.rng.choice(kinds)
        x = self.rng.randint(
            2, min(30, total - 1) if kind == "subtract" else 30 if kind == "add" else 9
        )
        if kind == "pack":
            k = self.rng.randint(2, 5)
            self.tell(self.wording.pack, k=k, x=x)
            self.note("pack", k=k, x=x)
            self.moves += [Move("pack", k, x, k * x), Move("add", total, k * x, total + k * x)]
        else:
            self.tell(
                self.rng.choice(self.wording.gain if kind == "add" else self.wording.loss), x=x
            )
            self.note(kind, x=x)
            self.moves.append(Move(kind, total, x, total + x if kind == "add" else total - x))
        return self.moves[-1].w

    def end(self, ending: str, total: int) -> None:
        if ending == "":
            self.tell(self.wording.ask)
        elif ending == "more":
            x = self.rng.randint(2, 20)
            self.note("more", x=x)
            self.tell(self.wording.more, x=x)
            self.moves += [
                Move("add", total, x, total + x),
                Move("add", total, total + x, 2 * total + x),
            ]
        else:
            k = self.rng.randint(2, 4 if total < 50 else 2)
            self.note(ending, x=k)
            self.tell(self.wording.times if ending == "times" else self.wording.worth, k=k)
            self.moves.append(Move(ending, total, k, total * k))


def draw(rng: random.Random, split: Split) -> Problem:
    """One story."""
    story = _Story(rng, rng.choice(WORDINGS))
    length = rng.randint(6, 8) if split == "ood" else rng.randint(2, 5)
    total = rng.randint(3, 50)
    story.start(total)
    ending = rng.choice(("", "", "times", "worth", "more"))
    reserved = {"": 0, "times": 1, "worth": 1, "more": 2}[ending]
    if reserved >= length:
        ending, reserved = "", 0
    while len(story.moves) < length - reserved:
        total = story.event(total, length - reserved - len(story.moves))
    story.end(ending, total)
    moves = story.moves
    filled = [{**story.words, "v": m.v, "x": m.x, "w": m.w} for m in moves]
    return Problem(
        text=" ".join(story.sentences),
        answer=str(moves[-1].w),
        template=shape_of(" ".join(story.sentences), _VARIABLE),
        content=" ".join([story.words["i"], *(f"{m.kind} {m.v} {m.x}" for m in moves)]),
        subquestions=tuple(
            SUBQUESTIONS[m.kind].format(**fill) for m, fill in zip(moves, filled, strict=True)
        ),
        step_answers=tuple(str(m.w) for m in moves),
        solutions=tuple(
            tuple(
                SOLUTIONS[m.kind][style].format(**fill)
                for m, fill in zip(moves, filled, strict=True)
            )
            for style in range(STYLES)
        ),
        facts=tuple(story.facts),
    )

"""Arithmetic stories of 2 to 5 steps ("ood": 6 to 8) with +, - and *; every result is below 1000.

A story starts with a number of things, goes through events (some more come, some go, packs come)
and ends in a question, sometimes after a comparison or a price. Example:

    Ana has 12 apples. Ana buys 7 more apples. Ana eats 4 apples. How many apples does Ana have now?
    -> There are 12 and 7 more, so 12 + 7 = 19. There are 19 but 4 go away, so 19 - 4 = 15.   [15]
"""

import random
from typing import Any

from cotdistill.contracts import Split
from cotdistill.lab.problem import NAMES, Problem, shape_of, templates


class _Story:
    """A story being written: its sentences, the facts they give, the arithmetic they lead to."""

    def __init__(self, rng: random.Random, words: Any) -> None:
        self.rng, self.facts_of = rng, words["facts"]
        self.wording = rng.choice(words["wordings"])
        things, packs, gains, losses = rng.choice(words["things"])
        name, friend = rng.sample(NAMES, 2)
        place = rng.choice(words["places"])
        self.words = {"n": name, "f": friend, "i": things, "c": packs, "p": place}
        self.gains, self.losses = gains.split(), losses.split()
        self.sentences: list[str] = []
        self.facts: list[str] = []
        self.moves: list[tuple[str, dict[str, Any]]] = []

    def tell(self, frame: str, **numbers: int) -> None:
        gain, loss = self.rng.choice(self.gains), self.rng.choice(self.losses)
        self.sentences.append(frame.format(gv=gain, lv=loss, **self.words, **numbers))

    def note(self, kind: str, **numbers: int) -> None:
        self.facts.append(self.rng.choice(self.facts_of[kind]).format(**self.words, **numbers))

    def move(self, kind: str, v: int, x: int, result: int) -> None:
        self.moves.append((kind, {**self.words, "v": v, "x": x, "w": result, "result": result}))

    def start(self, total: int) -> None:
        self.tell(self.wording["start"], a=total)
        self.note("start", x=total)

    def event(self, total: int, room: int) -> int:
        """Let some come or go, or packs come if there is room for two steps; return the total."""
        kind = "subtract"
        if total <= 70:
            kinds = ["add", "add"] + ["subtract"] * (2 if total > 5 else 0)
            kind = self.rng.choice(kinds + ["pack"] * (room >= 2))
        largest = {"subtract": min(30, total - 1), "add": 30, "pack": 9}[kind]
        x = self.rng.randint(2, largest)
        if kind == "pack":
            k = self.rng.randint(2, 5)
            self.tell(self.wording["pack"], k=k, x=x)
            self.note("pack", k=k, x=x)
            self.move("pack", k, x, k * x)
            self.move("add", total, k * x, total + k * x)
            return total + k * x
        self.tell(self.rng.choice(self.wording[kind]), x=x)
        self.note(kind, x=x)
        result = total + x if kind == "add" else total - x
        self.move(kind, total, x, result)
        return result

    def end(self, ending: str, total: int) -> None:
        if ending == "ask":
            self.tell(self.wording["ask"])
        elif ending == "more":
            x = self.rng.randint(2, 20)
            self.note("more", x=x)
            self.tell(self.wording["more"], x=x)
            self.move("add", total, x, total + x)
            self.move("add", total, total + x, 2 * total + x)
        else:
            k = self.rng.randint(2, 4 if total < 50 else 2)
            self.note(ending, x=k)
            self.tell(self.wording[ending], k=k)
            self.move(ending, total, k, total * k)


def draw(rng: random.Random, split: Split) -> Problem:
    """Draw one story."""
    words = templates("word_problems")
    story = _Story(rng, words)
    length = rng.randint(6, 8) if split == "ood" else rng.randint(2, 5)
    total = rng.randint(3, 50)
    story.start(total)
    ending = rng.choice(("ask", "ask", "times", "worth", "more"))
    reserved = {"ask": 0, "times": 1, "worth": 1, "more": 2}[ending]
    if reserved >= length:
        ending, reserved = "ask", 0
    while len(story.moves) < length - reserved:
        total = story.event(total, length - reserved - len(story.moves))
    story.end(ending, total)
    text = " ".join(story.sentences)
    variable = {*NAMES, *(word for row in words["things"] for part in row for word in part.split())}
    about = (f"{kind} {fill['v']} {fill['x']}" for kind, fill in story.moves)
    return Problem.solved(
        words,
        story.moves,
        text=text,
        answer=str(story.moves[-1][1]["result"]),
        template=shape_of(text, variable),
        content=" ".join([story.words["i"], *about]),
        facts=tuple(story.facts),
    )

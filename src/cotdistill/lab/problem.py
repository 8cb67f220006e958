"""What the four generators share: a drawn problem, seeds per item, and the split a piece of content belongs to.

A generator is a function `draw(rng, split) -> Problem`. A `Problem` holds the question together with its solution in
every wording (`solutions[style][step]`) and with restatements of its facts, which never contain a computed result.
Item i of a split is drawn from its own seed, so that any item can be made without the ones before it. All splits use the
same sentences, in other orders: a problem's template (its text with numbers, names and things levelled) belongs to one of
train, validation and test, by its hash, and its content (numbers, names, order of events) to train or to the other two.
What is drawn for another split is drawn again.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cotdistill.contracts import Split
from cotdistill.records import Question, Step

__all__ = [
    "NAMES",
    "STYLES",
    "Draw",
    "Problem",
    "draw_item",
    "problem_at",
    "question_at",
    "shape_of",
    "splits_of",
]

STYLES = 4
"""Wordings in which every solution is written."""

NAMES = (
    ["Ana", "Bo", "Cal", "Dan", "Eva", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Leo", "Mia", "Ned", "Oli", "Pam", "Ray", "Sam", "Tom", "Una", "Viv", "Wes", "Zoe", "Max"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One drawn problem with its solution in all wordings; `content` is what the question is about, wording aside."""

    text: str
    answer: str
    template: str
    content: str
    subquestions: tuple[str, ...]
    step_answers: tuple[str, ...]
    solutions: tuple[tuple[str, ...], ...]
    facts: tuple[str, ...]
    options: tuple[str, ...] = ()
    context: str = ""


_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")


def shape_of(text: str, words: Collection[str]) -> str:
    """The text with numbers as 0 and each of `words` as the place of its first appearance: two texts of one shape differ
    in numbers, names and things alone."""
    places: dict[str, int] = {}

    def level(match: re.Match[str]) -> str:
        word = match[0]
        return f"<{places.setdefault(word, len(places))}>" if word in words else word

    return _WORD.sub(level, _NUMBER.sub("0", text))


Draw = Callable[[random.Random, Split], Problem]


def splits_of(problem: Problem) -> set[Split]:
    """The splits, "ood" aside, in which a problem may occur: its template belongs to one, its content to training or not."""
    template, content = (
        hashlib.sha256(text.encode()).digest()[0] for text in (problem.template, problem.content)
    )
    owner: Split = "train" if template < 180 else "validation" if template < 218 else "test"
    return {owner} if (content < 154) == (owner == "train") else set()


def draw_item(draw: Draw, rng: random.Random, split: Split) -> Problem:
    """Draws until the content belongs to the split; "ood" problems are longer than all others and need no check."""
    while True:
        problem = draw(rng, split)
        if split == "ood" or split in splits_of(problem):
            return problem


def problem_at(draw: Draw, task: str, split: Split, index: int, seed: int) -> tuple[Problem, int]:
    """Item `index` of a split and the style its gold rationale is written in."""
    rng = random.Random(f"{task}/{split}/{seed}/{index}")
    return draw_item(draw, rng, split), rng.randrange(STYLES)


@lru_cache(maxsize=8192)
def question_at(draw: Draw, task: str, split: Split, index: int, seed: int) -> Question:
    """Item `index` of a split as a question with gold rationale and gold steps.

    Kept once made: a run reads its splits again for every cell of its grid, and most draws belong to another split.
    """
    problem, style = problem_at(draw, task, split, index, seed)
    solution = problem.solutions[style]
    return Question(
        id=f"{task}/{split}/{index}",
        text=problem.text,
        answer=problem.answer,
        options=problem.options,
        context=problem.context,
        rationale=" ".join(solution),
        steps=tuple(
            Step(question, sentence, answer)
            for question, sentence, answer in zip(
                problem.subquestions, solution, problem.step_answers, strict=True
            )
        ),
        meta={"template": problem.template, "steps": len(solution)},
    )


def compared(options: Sequence[str], right: str) -> str:
    """The options up to the right one, each held against it: "(A) tea is milk no, (B) milk is milk yes"."""
    place = options.index(right)
    wrong = [
        f"({letter}) {option} is {right} no, "
        for letter, option in zip("ABCD", options[:place], strict=False)
    ]
    return "".join(wrong) + f"({'ABCD'[place]}) {right} is {right} yes"

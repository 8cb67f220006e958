"""What the four generators share: a drawn problem, seeds per item, and the split a piece of content belongs to.

A generator is a function `draw(rng, split) -> Problem`. A `Problem` holds the question together with its solution in
every wording (`solutions[style][step]`) and with restatements of its facts, which never contain a computed result.
Item i of a split is drawn from its own seed, so that any item can be made without the ones before it. A drawn problem
whose content hashes to another split is drawn again, so no content (numbers, names, order of events) is shared by
two splits; that the wordings differ by split is up to the generators.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    "split_of_content",
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


Draw = Callable[[random.Random, Split], Problem]


def split_of_content(content: str) -> Split:
    """The only split, "ood" aside, in which this content may occur: 80 % train, 10 % validation, 10 % test."""
    bucket = hashlib.sha256(content.encode()).digest()[0] * 10 // 256
    if bucket == 0:
        return "validation"
    return "test" if bucket == 1 else "train"


def draw_item(draw: Draw, rng: random.Random, split: Split) -> Problem:
    """Draws until the content belongs to the split; "ood" problems are longer than all others and need no check."""
    while True:
        problem = draw(rng, split)
        if split == "ood" or split_of_content(problem.content) == split:
            return problem


def problem_at(draw: Draw, task: str, split: Split, index: int, seed: int) -> tuple[Problem, int]:
    """Item `index` of a split and the style its gold rationale is written in."""
    rng = random.Random(f"{task}/{split}/{seed}/{index}")
    return draw_item(draw, rng, split), rng.randrange(STYLES)


def question_at(draw: Draw, task: str, split: Split, index: int, seed: int) -> Question:
    """Item `index` of a split as a question with gold rationale and gold steps."""
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
            for question, sentence, answer in zip(problem.subquestions, solution, problem.step_answers, strict=True)
        ),
        meta={"template": problem.template, "steps": len(solution)},
    )


def compared(options: Sequence[str], right: str) -> str:
    """The options up to the right one, one by one: "(A) tea no, (B) milk yes"."""
    place = options.index(right)
    wrong = [f"({letter}) {option} no, " for letter, option in zip("ABCD", options[:place], strict=False)]
    return "".join(wrong) + f"({'ABCD'[place]}) {right} yes"

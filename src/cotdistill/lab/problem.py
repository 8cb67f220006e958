"""Parts of the four generators: templates, a solved problem, a seed per item, and splits.

A generator is a function `draw(rng, split) -> Problem`; its sentences stand in
`templates/<task>.yaml`. A `Problem` holds the question together with its solution in every wording
(`solutions[style][step]`) and with restatements of its facts, which never contain a computed
result. Item i of a split is drawn from its own seed, so that any item can be made without the ones
before it. All splits use the same sentences, in other orders: a problem's template (its text with
numbers, names and things normalised) belongs to one of train, validation and test, by its hash, and
its content (numbers, names, order of events) to train or to the other two. An item drawn for
another split is drawn again.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from cotdistill.contracts import Split
from cotdistill.records import Question, Step

STYLES = 4
"""Wordings in which every solution is written."""

NAMES = [
    "Ana", "Bo", "Cal", "Dan", "Eva", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Leo",
    "Mia", "Ned", "Oli", "Pam", "Ray", "Sam", "Tom", "Una", "Viv", "Wes", "Zoe", "Max",
]  # fmt: skip

Move = tuple[str, Mapping[str, Any]]
"""One step of a solution: the key of its templates, and the words that fill them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One drawn problem with its solution in all wordings.

    `content` is what the question is about, wording aside.
    """

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

    @classmethod
    def solved(cls, words: Any, moves: Sequence[Move], **fields: Any) -> Problem:
        """Return a problem whose solution is `moves`; each one's "result" is its step's answer."""
        return cls(
            subquestions=tuple(words["sub_questions"][kind].format(**fill) for kind, fill in moves),
            step_answers=tuple(str(fill["result"]) for _, fill in moves),
            solutions=tuple(
                tuple(words["solutions"][kind][style].format(**fill) for kind, fill in moves)
                for style in range(STYLES)
            ),
            **fields,
        )

    def question(self, style: int, id: str = "") -> Question:
        """Return the question with its gold rationale and steps in one style."""
        solution = self.solutions[style]
        steps = zip(self.subquestions, solution, self.step_answers, strict=True)
        return Question(
            id=id,
            text=self.text,
            answer=self.answer,
            options=self.options,
            context=self.context,
            rationale=" ".join(solution),
            steps=tuple(Step(*step) for step in steps),
            meta={"template": self.template, "steps": len(solution)},
        )


@cache
def templates(task: str) -> Any:
    """Return the sentences of a task, as `templates/<task>.yaml` has them."""
    path = Path(__file__).parent / "templates" / f"{task}.yaml"
    return yaml.safe_load(path.read_text("utf-8"))


_NUMBER = re.compile(r"\d+")  # "12" and "7" are one number of a shape
_WORD = re.compile(r"\w+")  # whole words only: "Ana" is no part of "Anabel"


def shape_of(text: str, words: Collection[str]) -> str:
    """Return the text with numbers as 0 and each of `words` as the place of its first appearance.

    Two texts of one shape differ in numbers, names and things alone.
    """
    places: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        word = match[0]
        return f"<{places.setdefault(word, len(places))}>" if word in words else word

    return _WORD.sub(place, _NUMBER.sub("0", text))


Draw = Callable[[random.Random, Split], Problem]


def splits_of(problem: Problem) -> set[Split]:
    """Return the splits, "ood" aside, in which a problem may occur.

    Its template belongs to one split, its content to training or to the others.
    """
    template, content = (
        hashlib.sha256(text.encode()).digest()[0] for text in (problem.template, problem.content)
    )
    owner: Split = "train" if template < 180 else "validation" if template < 218 else "test"
    return {owner} if (content < 154) == (owner == "train") else set()


def draw_item(draw: Draw, rng: random.Random, split: Split) -> Problem:
    """Draw until the problem belongs to the split; "ood" problems are longer and need no check."""
    while True:
        problem = draw(rng, split)
        if split == "ood" or split in splits_of(problem):
            return problem


def problem_at(draw: Draw, task: str, split: Split, index: int, seed: int) -> tuple[Problem, int]:
    """Return item `index` of a split and the style that its gold rationale is written in."""
    rng = random.Random(f"{task}/{split}/{seed}/{index}")
    return draw_item(draw, rng, split), rng.randrange(STYLES)


# Cached: a run reads its splits again for every cell of its grid, and most draws are drawn again.
@lru_cache(maxsize=8192)
def question_at(draw: Draw, task: str, split: Split, index: int, seed: int) -> Question:
    """Return item `index` of a split as a question with gold rationale and gold steps."""
    problem, style = problem_at(draw, task, split, index, seed)
    return problem.question(style, f"{task}/{split}/{index}")


def compared(options: Sequence[str], right: str) -> str:
    """Return the options up to the right one, each compared with it: "(A) tea is milk no, …"."""
    place = options.index(right)
    wrong = [f"({letter}) {option} is {right} no, " for letter, option in lettered(options[:place])]
    return "".join(wrong) + f"({'ABCD'[place]}) {right} is {right} yes"


def lettered(options: Sequence[str]) -> list[tuple[str, str]]:
    """Return the options with their letters."""
    return list(zip("ABCD", options, strict=False))


def option_facts(rng: random.Random, options: Sequence[str]) -> list[str]:
    """Return the options restated in one of two forms, in random order."""
    letters = [f"({letter}) is {option}." for letter, option in lettered(options)]
    mapped = [f"{option} is ({letter})." for letter, option in lettered(options)]
    chosen = rng.choice((letters, mapped))
    rng.shuffle(chosen)
    return chosen

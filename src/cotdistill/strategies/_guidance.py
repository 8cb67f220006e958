"""Where a guide's steps come from, and how they are made wrong for the control."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Literal

from cotdistill.contracts import AnswerType, Ask
from cotdistill.errors import DataError
from cotdistill.prompting.parts import ANSWER_SENTENCE, next_step_prompt
from cotdistill.prompting.transcript import one, sentences
from cotdistill.records import Question
from cotdistill.text.arithmetic import Equation, find_equations
from cotdistill.text.expressions import NUMBER

__all__ = ["RAW_ROLES", "Guide", "Unit", "gold_steps", "lead_of", "wrong_step"]

Unit = Literal["sentence", "equation", "socratic"]

RAW_ROLES = ("teacher", "base", "guide")
"""Roles that are prompted with "A:" or the like: what they write begins with a space, which a trained student's format has."""

_SWAPS = (
    ("heads", "tails"),
    ("yes", "no"),
    ("left", "right"),
    ("up", "down"),
    ("more", "fewer"),
    ("all", "none"),
)
_WHOLE_NUMBER = re.compile(rf"(?<!\w)(?:{NUMBER})(?!\w)")
_CLAUSE_END = re.compile(r"(?<=[.!?,;:])\s+|\s=\s")


def lead_of(role: str) -> str:
    """What a text that the role must begin with needs in front."""
    return " " if role in RAW_ROLES else ""


@dataclass
class Guide:
    """Writes steps of one question's solution, and counts what that costs. `source` is "gold" or a role.

    `why` says why the step asked for last was not given.
    """

    question: Question
    ask: Ask
    answer_type: AnswerType
    source: str
    unit: Unit
    wrong: bool = False
    max_tokens: int = 64
    tokens: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""

    async def step(self, place: int, so_far: Sequence[str]) -> str | None:
        """The step number `place` (from 0) after the steps `so_far`; None where the guide has no such step."""
        written, prompt = self._gold(place) if self.source == "gold" else await self._asked(so_far)
        if not written:
            self.why = f"{self.source} has no step {place + 1} (unit {self.unit})"
            return None
        shown = wrong_step(written) if self.wrong else written
        if shown is None:
            self.why = f"step {place + 1} cannot be made wrong: {written}"
            return None
        if self.source == "gold":
            self.tokens += len(shown.split())
        leaks = _holds_answer(shown, self.question, self.answer_type)
        self.trace.append({"role": "guide", "prompt": prompt, "text": shown, "leaks": leaks})
        return shown

    def nothing_given(self) -> dict[str, Any]:
        """The trace entry of a question that was answered without the guide."""
        why = self.why or "the step was not reached"
        return {
            "role": "guide",
            "prompt": "",
            "text": "",
            "leaks": False,
            "guided": False,
            "why": why,
        }

    def _gold(self, place: int) -> tuple[str, str]:
        gold = gold_steps(self.question, self.unit)
        return (gold[place] if place < len(gold) else ""), ""

    async def _asked(self, so_far: Sequence[str]) -> tuple[str, str]:
        """What the model writes as the next step, "" where it has none, and the prompt."""
        prompt = next_step_prompt(self.question, so_far)
        reply = await one(
            self.ask, prompt, role=self.source, max_tokens=self.max_tokens, stop=("\n",)
        )
        self.tokens += reply.completion_tokens
        written = next(iter(sentences(reply.text)), "")
        if self.unit == "equation":
            written = next(iter(_equation_steps(written)), "")
        return ("" if written.startswith(ANSWER_SENTENCE) else written), prompt


def gold_steps(question: Question, unit: Unit) -> list[str]:
    """The gold solution in steps: its own or else its sentences, its equations, or sub-questions with their solutions.

    Empty where the unit finds none in it.

    Raises:
        DataError: the question has neither a gold rationale nor gold steps.
    """
    if unit == "socratic":
        asked = all(step.question for step in question.steps)
        steps = (
            [f"{step.question} ** {step.solution} |" for step in question.steps] if asked else []
        )
    elif unit == "equation":
        steps = _equation_steps(
            question.rationale or " ".join(step.solution for step in question.steps)
        )
    else:
        # The lines of a data set's solution need not end in a full stop, so its own steps go before sentences.
        steps = [step.solution for step in question.steps if step.solution] or sentences(
            question.rationale
        )
    if not steps and not (question.rationale or question.steps):
        raise DataError(
            f"question {question.id} has no gold solution to guide by; set `source: teacher` (or `guide`) for first_step"
        )
    return steps


def wrong_step(step: str) -> str | None:
    """The step with something wrong in it; None where nothing in it can be made wrong.

    The result of its last equation, or else its last number, is one too high; or a word is turned into its opposite, or two
    names change places.
    """
    return (
        _wrong_result(step)
        or _wrong_number(step)
        or _opposite(step)
        or _exchanged(step)
        or _denied(step)
    )


def _wrong_result(step: str) -> str | None:
    """The last equation's result one too high, also where the step repeats it in an annotation or behind one."""
    results = [equation.result for equation in find_equations(step) if equation.calculates]
    number = re.search(NUMBER, results[-1]) if results else None
    if number is None:
        return None
    shown = rf"((?:=|>>)[^\w\n.<>]*){re.escape(number[0])}(?!\d|[.,]\d)"
    wrong = re.sub(shown, rf"\g<1>{_one_more(number[0])}", step)
    return wrong if wrong != step else None


def _wrong_number(step: str) -> str | None:
    numbers = list(re.finditer(NUMBER, step))
    if not numbers:
        return None
    last = numbers[-1]
    return step[: last.start()] + _one_more(last[0]) + step[last.end() :]


def _one_more(number: str) -> str:
    value = Decimal(number.replace(",", "")) + 1
    return f"{value:,}" if "," in number else f"{value}"


def _opposite(step: str) -> str | None:
    for pair in _SWAPS:
        for word, opposite in (pair, pair[::-1]):
            wrong = re.sub(
                rf"\b{word}\b", partial(_in_case_of, opposite), step, flags=re.IGNORECASE
            )
            if wrong != step:
                return wrong
    return None


def _in_case_of(word: str, found: re.Match[str]) -> str:
    if found[0].isupper():
        return word.upper()
    return word.capitalize() if found[0][0].isupper() else word


def _exchanged(step: str) -> str | None:
    names = list(dict.fromkeys(re.findall(r"(?<=\s)[A-Z][a-z]+", f" {step}")))
    if len(names) < 2:
        return None
    first, second = names[0], names[-1]
    return re.sub(
        rf"\b({first}|{second})\b", lambda found: second if found[0] == first else first, step
    )


def _denied(step: str) -> str | None:
    verb = re.search(r"\b(?:is|are|was|were|has|can)\b( not\b)?", step, re.IGNORECASE)
    if verb is None:
        return None
    wrong = verb[0].removesuffix(" not") if verb[1] else f"{verb[0]} not"
    return step[: verb.start()] + wrong + step[verb.end() :]


def _holds_answer(text: str, question: Question, answer_type: AnswerType) -> bool:
    """Whether gold is what the text, a clause or a number of it says."""
    candidates = (text, *_CLAUSE_END.split(text), *_WHOLE_NUMBER.findall(text))
    return any(
        answer_type.same(answer_type.extract(one, options=question.options), question.answer)
        for one in candidates
    )


def _equation_steps(text: str) -> list[str]:
    """The equations of a text, each once: an annotation inside a written one ("3 + 8 = <<3+8=11>>11") repeats it."""
    found = find_equations(text)
    return [
        f"{one.left} = {one.right}."
        for one in found
        if not any(_inside(one, other) for other in found)
    ]


def _inside(one: Equation, other: Equation) -> bool:
    return (
        one is not other and other.left_start <= one.left_start and one.right_end <= other.right_end
    )

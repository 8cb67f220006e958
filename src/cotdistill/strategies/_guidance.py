"""Where a guide's steps come from, and how they are made wrong for the control."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cotdistill.arithmetic import find_equations
from cotdistill.contracts import AnswerKind, Ask
from cotdistill.errors import DataError
from cotdistill.prompts import ANSWER_SENTENCE, next_step_prompt
from cotdistill.records import Question
from cotdistill.solving import one, sentences

__all__ = ["RAW_ROLES", "Guide", "Unit", "gold_steps", "lead_of", "wrong_step"]

Unit = Literal["sentence", "equation", "socratic"]

RAW_ROLES = ("teacher", "base", "guide")
"""Roles that are prompted with "A:" or the like: what they write begins with a space, which a trained student's format has."""

_SWAPS = (("heads", "tails"), ("yes", "no"), ("left", "right"), ("up", "down"), ("more", "fewer"), ("all", "none"))


def lead_of(role: str) -> str:
    """What a text that the role must begin with needs in front."""
    return " " if role in RAW_ROLES else ""


@dataclass
class Guide:
    """Writes steps of one question's solution, and counts what that costs. `source` is "gold" or a role."""

    question: Question
    ask: Ask
    kind: AnswerKind
    source: str
    unit: Unit
    wrong: bool = False
    max_tokens: int = 64
    tokens: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)

    async def step(self, place: int, so_far: Sequence[str]) -> str | None:
        """The step number `place` (from 0) after the steps `so_far`; None where the guide has no such step."""
        if self.source == "gold":
            gold = gold_steps(self.question, self.unit)
            if place >= len(gold):
                return None
            return self._given(gold[place], "", len(gold[place].split()))
        prompt = next_step_prompt(self.question, so_far)
        reply = await one(self.ask, prompt, role=self.source, max_tokens=self.max_tokens, stop=("\n",))
        written = next(iter(sentences(reply.text)), "")
        if self.unit == "equation":
            equations = find_equations(written)
            written = f"{equations[0].left} = {equations[0].right}." if equations else ""
        if not written or written.startswith(ANSWER_SENTENCE):
            self.tokens += reply.completion_tokens
            return None
        return self._given(written, prompt, reply.completion_tokens)

    def _given(self, step: str, prompt: str, tokens: int) -> str:
        self.tokens += tokens
        shown = wrong_step(step) if self.wrong else step
        told = self.kind.extract(shown, options=self.question.options)
        leaks = self.kind.same(told, self.question.answer)
        self.trace.append({"role": "guide", "prompt": prompt, "text": shown, "leaks": leaks})
        return shown


def gold_steps(question: Question, unit: Unit) -> list[str]:
    """The gold solution in steps: sentences, equations, or sub-questions with their solutions.

    Raises:
        DataError: the question has neither a gold rationale nor gold steps.
    """
    if unit == "socratic":
        steps = [f"{step.question} ** {step.solution} |" for step in question.steps]
    else:
        text = question.rationale or " ".join(step.solution for step in question.steps)
        steps = sentences(text)
        if unit == "equation":
            steps = [f"{equation.left} = {equation.right}." for equation in find_equations(text)]
    if not steps and not (question.rationale or question.steps):
        raise DataError(
            f"question {question.id} has no gold solution to guide by; set `source: teacher` (or `guide`) for first_step"
        )
    return steps


def wrong_step(step: str) -> str:
    """The step with something wrong in it: its last number one too high, or a word turned into its opposite."""
    numbers = list(re.finditer(r"\d+", step))
    if numbers:
        last = numbers[-1]
        return f"{step[: last.start()]}{int(last[0]) + 1}{step[last.end() :]}"
    for one_word, other in _SWAPS:
        for word, opposite in ((one_word, other), (other, one_word)):
            if re.search(rf"\b{word}\b", step):
                return re.sub(rf"\b{word}\b", opposite, step)
    names = list(dict.fromkeys(re.findall(r"(?<=\s)[A-Z][a-z]+", f" {step}")))
    if len(names) > 1:
        first, second = names[0], names[-1]
        return re.sub(rf"\b({first}|{second})\b", lambda match: second if match[0] == first else first, step)
    return re.sub(r"\b(is|are|was|were|has|can)\b", r"\1 not", step, count=1)

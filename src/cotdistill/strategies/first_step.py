"""First-step guidance: Jain et al., "First-Step Advantage" (arXiv 2311.07945). A guide writes one step, the student goes on.

The guide is gold or a model; its step stands at the start of the student's answer, and the student continues (section 3).
General form, ours: steps 1 to k (`mode: prefix`) or step k alone behind the student's own first steps (`mode: only`), so that
accuracy as a function of k shows whether help must come early; `when: uncertain` asks the guide only where the student's own
first step has a mean token probability below `confidence`; `control: wrong` gives a wrong step instead.

    OLMo-7B on GSM8K: 13.64 → 37.90 with GPT-4's first step   (from secondary sources)

It acts on the first ask of `role` (any, if empty); `turns: true` is for a role that writes one step an ask, as Socratic
CoT's solver does. `guide_tokens` counts what the guide wrote: tokens of a model, words of gold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy
from cotdistill.prompting.parts import CONCLUSIONS
from cotdistill.prompting.transcript import one, sentences
from cotdistill.records import Answer, Completion, Prompt, Question
from cotdistill.strategies._guidance import Guide, Unit, lead_of

__all__ = ["FirstStep"]


class FirstStep(Strategy):
    """A guide writes one step of the answer and the student continues (Jain et al. 2023)."""

    step: int = Field(default=1, ge=1, description="k: which step the guide writes, or up to which")
    mode: Literal["prefix", "only"] = Field(
        default="prefix", description="steps 1 to k, or step k alone"
    )
    source: str = Field(
        default="gold", description='"gold", "teacher", "guide" or another role of the run'
    )
    when: Literal["first", "every", "uncertain"] = Field(
        default="first",
        description="once, at step k; every step; or only where the student is unsure of its first step",
    )
    confidence: float = Field(
        default=0.9, ge=0, le=1, description="mean token probability below which it is unsure"
    )
    control: Literal["none", "wrong"] = Field(
        default="none", description="wrong: the step is made wrong"
    )
    unit: Unit = Field(default="sentence", description="what a step is")
    role: str = Field(
        default="", description="whose answer is begun; empty: the first that is asked"
    )
    turns: bool = Field(default=False, description="the role writes one step an ask")
    max_steps: int = Field(default=12, ge=1, description="most steps of `when: every`")
    guide_max_tokens: int = Field(
        default=64, ge=1, description="tokens the guide may write for one step"
    )

    @model_validator(mode="after")
    def _can_be_unsure(self) -> Self:
        if self.turns and self.when == "uncertain":
            raise ValueError(
                "`when: uncertain` looks at a whole answer; it cannot go with `turns: true`"
            )
        return self

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        wrong = self.control == "wrong"
        guide = Guide(
            question, ask, answer_type, self.source, self.unit, wrong, self.guide_max_tokens
        )
        guided = _Guided(self, ask, guide)
        answer = await solve(question, guided.ask)
        return replace(
            answer,
            trace=(*(guide.trace or [guide.nothing_given()]), *answer.trace),
            guide_tokens=guide.tokens,
            completion_tokens=answer.completion_tokens + guided.spent,
        )


@dataclass
class _Guided:
    """The asks of one question: `spent` counts the student's tokens that are not part of its answer."""

    settings: FirstStep
    asker: Ask
    guide: Guide
    turn: int = 0
    spent: int = 0

    async def ask(self, prompt: Prompt, **settings: Any) -> list[Completion]:
        role = settings.get("role", "teacher")
        self.turn += self.settings.role in ("", role)
        last = self._last_turn()
        if self.settings.role not in ("", role) or self.turn > last:
            return await self.asker(prompt, **settings)
        begin = await (self._turn_begin() if self.settings.turns else self._begin(prompt, settings))
        if not begin:
            return await self.asker(prompt, **settings)
        return await self.asker(prompt, **settings, prefill=f"{lead_of(role)}{begin} ")

    def _last_turn(self) -> int:
        if not self.settings.turns:
            return 1
        return self.settings.max_steps if self.settings.when == "every" else self.settings.step

    async def _turn_begin(self) -> str:
        """The beginning of one step of a role that writes a step an ask."""
        if self.settings.mode == "only" and self.turn < self.settings.step:
            return ""
        return (
            await self.guide.step(self.turn - 1, [entry["text"] for entry in self.guide.trace])
            or ""
        )

    async def _begin(self, prompt: Prompt, settings: dict[str, Any]) -> str:
        if self.settings.when == "uncertain" and await self._confident(prompt, settings):
            self.guide.why = "the student is sure of its first step"
            return ""
        if self.settings.mode == "only" and self.settings.when != "every":
            return await self._own_then_guided(prompt, settings)
        steps: list[str] = []
        count = self.settings.max_steps if self.settings.when == "every" else self.settings.step
        while len(steps) < count and (step := await self.guide.step(len(steps), steps)) is not None:
            steps.append(step)
        return " ".join(steps)

    async def _own_then_guided(self, prompt: Prompt, settings: dict[str, Any]) -> str:
        """The student's own first k-1 steps and the guide's step k; nothing where the student needs fewer steps."""
        before = self.settings.step - 1
        own: list[str] = []
        if before:
            written = await one(self.asker, prompt, **settings)
            self.spent += written.completion_tokens
            own = sentences(_reasoning(written.text))
            if len(own) <= before:
                self.guide.why = f"the student's own solution has no step {before + 1}"
                return ""
        step = await self.guide.step(before, own[:before])
        return " ".join([*own[:before], step]) if step is not None else ""

    async def _confident(self, prompt: Prompt, settings: dict[str, Any]) -> bool:
        """Whether the student writes its own first step with enough probability; unknown counts as unsure."""
        first = await one(self.asker, prompt, **settings | {"stop": (". ", " | ", "\n", " -->")})
        self.spent += first.completion_tokens
        return first.logprob is not None and math.exp(first.logprob) >= self.settings.confidence


def _reasoning(text: str) -> str:
    """A student's text before its conclusion."""
    return text[
        : min(
            (place for marker in CONCLUSIONS if (place := text.find(marker)) >= 0),
            default=len(text),
        )
    ]

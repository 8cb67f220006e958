"""First-step guidance: Jain et al., "First-Step Advantage" (arXiv 2311.07945). A guide writes one
step, the student continues from it.

The guide is gold or a model; its step stands at the start of the student's answer (section 3). Ours
beyond the paper: step k behind the student's own first k - 1 (accuracy as a function of k shows
whether help must come early); `when: uncertain` asks the guide only where the student's own first
step has a mean token probability below `confidence`; `control: wrong` gives a wrong step instead.

    OLMo-7B on GSM8K: 13.64 → 37.90 with GPT-4's first step   (from secondary sources)

    Q: Ana has 3 apples and buys 8 more. How many has she?
    Steps so far: none
    Next step: Ana has 3 apples.

The answer's trace begins with the guide's step and whether it `leaks` the answer, or with the
reason why there was none. `guide_tokens` counts what the guide wrote: tokens of a model, words of
gold and of recordings.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy
from cotdistill.prompting.base import (
    ANSWER_SENTENCE,
    CONCLUSIONS,
    on_first_ask,
    prefill,
    required,
    sentences,
    single,
)
from cotdistill.records import Answer, Completion, Prompt, Question


def next_step(question: Question, so_far: Sequence[str]) -> str:
    """Ask a guide for the next step of a solution."""
    return f"Q: {question.block}\nSteps so far: {' '.join(so_far) or 'none'}\nNext step:"


_STEP_ENDS = (". ", " | ", "\n", " -->")
"""Separators that end a student's step, whichever method it was trained by."""


@dataclass
class _Guidance:
    """A guide's step for one question, or `why` there is none, and its cost."""

    step: str = ""
    prompt: str = ""
    why: str = "the step was not reached"
    tokens: int = 0
    student_tokens: int = 0


class FirstStep(Strategy):
    """A guide writes one step of the answer and the student continues (Jain et al. 2023)."""

    step: int = Field(default=1, ge=1, description="k: which step the guide writes")
    source: str = Field(
        default="gold", description='"gold", "teacher", "guide" or another role of the run'
    )
    when: Literal["always", "uncertain"] = Field(
        default="always", description="or only where the student is unsure of its first step"
    )
    confidence: float = Field(
        default=0.9, ge=0, le=1, description="mean token probability below which it is unsure"
    )
    control: Literal["none", "wrong"] = Field(
        default="none", description="wrong: the step's result is one too high"
    )
    role: str = Field(default="", description="whose answer is begun; empty: the first asked")
    guide_max_tokens: int = Field(default=64, ge=1, description="tokens the guide may write")
    whole: bool = Field(
        default=False,
        description="the guide's step k is that of its own whole solution, as recordings have them",
    )

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        given = _Guidance()

        async def guided(prompt: Prompt, settings: dict[str, Any]) -> Completion:
            own = await self._own_steps(given, ask, prompt, settings)
            if own is not None:
                await self._guide(given, question, ask, own)
            parts = [*(own or []), given.step] if given.step else []
            begun = {"prefill": prefill(settings.get("role", "teacher"), *parts)}
            return await single(ask, prompt, **settings | begun)

        answer = await solve(question, on_first_ask(ask, guided, self.role))
        leaks = bool(given.step) and _leaks(given.step, question, answer_type)
        entry = {"role": "guide", "prompt": given.prompt, "text": given.step, "leaks": leaks}
        entry |= {} if given.step else {"guided": False, "why": given.why}
        return replace(
            answer,
            trace=(entry, *answer.trace),
            guide_tokens=answer.guide_tokens + given.tokens,
            completion_tokens=answer.completion_tokens + given.student_tokens,
        )

    async def _own_steps(
        self, given: _Guidance, ask: Ask, prompt: Prompt, settings: dict[str, Any]
    ) -> list[str] | None:
        """Return the student's own first k - 1 steps; None where the guide is not to be asked."""
        if self.when == "uncertain":
            first = await single(ask, prompt, **settings | {"stop": _STEP_ENDS})
            given.student_tokens += first.completion_tokens
            # Where the engine reports no probability the student counts as unsure.
            if first.logprob is not None and math.exp(first.logprob) >= self.confidence:
                given.why = "the student is sure of its first step"
                return None
        if self.step == 1:
            return []
        written = await single(ask, prompt, **settings)
        given.student_tokens += written.completion_tokens
        ends = [place for marker in CONCLUSIONS if (place := written.text.find(marker)) >= 0]
        own = sentences(written.text[: min(ends, default=None)])
        if len(own) < self.step:
            given.why = f"the student's own solution has no step {self.step}"
            return None
        return own[: self.step - 1]

    async def _guide(
        self, given: _Guidance, question: Question, ask: Ask, own: Sequence[str]
    ) -> None:
        if self.source == "gold":
            step = next(iter(gold_steps(question)[self.step - 1 :]), "")
        else:
            given.prompt = next_step(question, () if self.whole else own)
            reply = await single(
                ask,
                given.prompt,
                role=self.source,
                max_tokens=self.guide_max_tokens,
                stop=() if self.whole else ("\n",),
            )
            given.tokens = reply.completion_tokens
            step = next(iter(sentences(reply.text)[self.step - 1 if self.whole else 0 :]), "")
        if not step or step.startswith(ANSWER_SENTENCE):
            given.why = f"{self.source} has no step {self.step}"
            return
        given.step = wrong_step(step) if self.control == "wrong" else step
        given.why = f"step {self.step} has no number to make wrong: {step}"
        given.tokens = given.tokens or len(given.step.split())


def gold_steps(question: Question) -> list[str]:
    """Return the steps of the gold solution: the data set's own, or else its sentences.

    Raises:
        DataError: the question has neither a gold rationale nor gold steps.
    """
    # The lines of a data set's solution need not end in a full stop: its own steps go first.
    steps = [step.solution for step in question.steps if step.solution]
    remedy = "gold solution to guide by; set `source: teacher` (or `guide`) for first_step"
    return required(steps or sentences(question.rationale), question, remedy)


# A number as solutions write it, grouped by commas or not.
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
# A result: the number behind "=", or behind the annotation of one: "3 + 8 = <<3+8=11>>11".
_RESULT = re.compile(rf"(?:=|>>)\s*[$£€]?\s*({_NUMBER.pattern})")


def wrong_step(step: str) -> str:
    """Return the step with its last result, else its last number, one too high; "" without any."""
    results = list(_RESULT.finditer(step))
    number = results[-1][1] if results else next(reversed(_NUMBER.findall(step)), "")
    if not number:
        return ""
    value = Decimal(number.replace(",", "")) + 1
    wrong = f"{value:,}" if "," in number else f"{value}"
    if not results:
        before, _, after = step.rpartition(number)
        return f"{before}{wrong}{after}"
    # From the last to the first, so that places stay valid; an annotation repeats the result.
    for result in reversed(results):
        if result[1] == number:
            step = step[: result.start(1)] + wrong + step[result.end(1) :]
    return step


def _leaks(step: str, question: Question, answer_type: AnswerType) -> bool:
    """Return whether the step, a clause or a number of it equals gold."""
    # A clause ends at white space behind a mark, or at a sign of equality.
    clauses = re.split(r"(?<=[.!?,;:])\s+|\s=\s", step)
    said = (step, *clauses, *re.findall(rf"(?<!\w)(?:{_NUMBER.pattern})(?!\w)", step))
    answers = (answer_type.extract(one, options=question.options) for one in said)
    return any(answer_type.same(one, question.answer) for one in answers)

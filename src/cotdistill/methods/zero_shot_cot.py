"""Zero-shot CoT: Kojima et al., "Large Language Models are Zero-Shot Reasoners" (NeurIPS 2022, arXiv 2205.11916).

Two calls (section 3.1): "Let's think step by step." for the rationale, then the rationale and "Therefore, the answer is".
The first call is the one that `fine_tune_cot` makes, so a run that has both on the same questions asks once.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.prompting.parts import ANSWER_TRIGGER, answer_call, zero_shot_cot_prompt
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Question

__all__ = ["ZeroShotCot"]


class ZeroShotCot(Method):
    """Prompting baseline: "Let's think step by step", then the answer in a second call (Kojima et al. 2022)."""

    roles: ClassVar[tuple[str, ...]] = ()

    role: str = Field(
        default="teacher",
        description='who is asked: "teacher", "base" (the untrained student) or "guide"',
    )
    max_tokens: int = Field(default=128, ge=1, description="length limit of the rationale")
    answer_max_tokens: int = Field(
        default=32, ge=1, description="length limit of the second call's reply"
    )

    @property
    def prompted_role(self) -> str:
        return self.role

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        prompt = zero_shot_cot_prompt(question)
        reply = await transcript.ask(prompt, role=self.role, max_tokens=self.max_tokens)
        second = await transcript.ask(
            answer_call(prompt, reply.text), role=self.role, max_tokens=self.answer_max_tokens
        )
        text = f"{reply.text.strip()}\n{ANSWER_TRIGGER} {second.text.strip()}"
        return transcript.answer(answer_type, text, markers=(ANSWER_TRIGGER,))

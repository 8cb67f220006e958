"""Few-shot CoT: Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models" (NeurIPS 2022).

Exemplars with rationales, drawn from the training split only; each ends with the sentence that the answer is read from.

    Q: Bo has 2 pens and loses 1. How many has he?
    A: Bo starts with 2 pens. He loses 1, so 2 - 1 = 1. The answer is 1.

    Q: Ana has 3 apples and buys 8 more. How many has she?
    A:
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.methods._few_shot import FewShotMethod
from cotdistill.prompting.parts import (
    ANSWER_SENTENCE,
    CONTINUE_HERE,
    cot_exemplar,
    cot_query,
    exemplar_prompt,
)
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Question

__all__ = ["FewShotCot"]


class FewShotCot(FewShotMethod):
    """Prompting baseline: exemplars with rationales, then the question (Wei et al. 2022)."""

    roles: ClassVar[tuple[str, ...]] = ()

    role: str = Field(
        default="teacher",
        description='who is asked: "teacher", "base" (the untrained student) or "guide"',
    )
    max_tokens: int = Field(default=256, ge=1, description="tokens the model may write")

    @property
    def prompted_role(self) -> str:
        return self.role

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        prompt = exemplar_prompt(
            [cot_exemplar(shown) for shown in self.exemplars], cot_query(question)
        )
        reply = await transcript.ask(
            prompt, role=self.role, max_tokens=self.max_tokens, stop=CONTINUE_HERE
        )
        return transcript.answer(answer_type, reply.text, markers=(ANSWER_SENTENCE,))

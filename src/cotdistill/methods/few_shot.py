"""Few-shot prompting: exemplars of question and answer from the training split, then the question (Brown et al. 2020).

Q: Bo has 2 pens and loses 1. How many has he?
A: The answer is 1.

Q: Ana has 3 apples and buys 8 more. How many has she?
A: The answer is
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.methods._few_shot import FewShotMethod
from cotdistill.prompting.parts import (
    ANSWER_SENTENCE,
    CONTINUE_HERE,
    direct_exemplar,
    direct_query,
    exemplar_prompt,
)
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Question

__all__ = ["FewShot"]


class FewShot(FewShotMethod):
    """Prompting baseline: exemplars with answers alone, then the question."""

    roles: ClassVar[tuple[str, ...]] = ()

    role: str = Field(
        default="teacher",
        description='who is asked: "teacher", "base" (the untrained student) or "guide"',
    )
    max_tokens: int = Field(default=32, ge=1, description="tokens the model may write")

    @property
    def prompted_role(self) -> str:
        return self.role

    def with_exemplars(self, exemplars: Sequence[Question]) -> Self:
        return self.model_copy(update={"exemplars": tuple(exemplars)})

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        prompt = exemplar_prompt(
            [direct_exemplar(shown) for shown in self.exemplars], direct_query(question)
        )
        reply = await transcript.ask(
            prompt, role=self.role, max_tokens=self.max_tokens, stop=CONTINUE_HERE
        )
        return transcript.answer(
            answer_type, f"{ANSWER_SENTENCE} {reply.text.strip()}", markers=(ANSWER_SENTENCE,)
        )

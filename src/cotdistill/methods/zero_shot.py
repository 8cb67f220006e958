"""Zero-shot prompting: the question and "The answer is", for any model; nothing is trained.

Q: Ana has 3 apples and buys 8 more. How many has she?
A: The answer is
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.prompting.parts import ANSWER_SENTENCE, CONTINUE_HERE, direct_query
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Question

__all__ = ["ZeroShot"]


class ZeroShot(Method):
    """Prompting baseline: the model is asked for the answer at once."""

    roles: ClassVar[tuple[str, ...]] = ()

    role: str = Field(
        default="teacher",
        description='who is asked: "teacher", "base" (the untrained student) or "guide"',
    )
    max_tokens: int = Field(default=32, ge=1, description="tokens the model may write")

    @property
    def prompted_role(self) -> str:
        return self.role

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        reply = await transcript.ask(
            direct_query(question), role=self.role, max_tokens=self.max_tokens, stop=CONTINUE_HERE
        )
        return transcript.answer(
            answer_type, f"{ANSWER_SENTENCE} {reply.text.strip()}", markers=(ANSWER_SENTENCE,)
        )

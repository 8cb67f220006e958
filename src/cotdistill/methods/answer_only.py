"""Tuning on the answer alone: the baseline of every paper here, and it needs no teacher.

Below a billion parameters it beats Fine-tune-CoT with one rationale a question on most arithmetic sets (Ho et al. 2023,
table 1), so its row stands in every table.

    "Ana has 3 apples and buys 8 more. How many has she?" -> "11"
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.prompting.parts import question_block, student_target
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Example, Question, Rationale

__all__ = ["AnswerOnly"]


class AnswerOnly(Method):
    """Student tuned on question → answer, without any reasoning (the baseline)."""

    student_max_tokens: int = Field(default=32, ge=1, description="tokens the student may write")

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        prompt = question_block(question)
        yield Example("student", prompt, student_target(question), group=question.id)

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        reply = await transcript.ask(
            question_block(question), role="student", max_tokens=self.student_max_tokens
        )
        return transcript.answer(answer_type, reply.text)

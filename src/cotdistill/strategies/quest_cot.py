"""QuestCoT: Jain et al., "First-Step Advantage" (arXiv 2311.07945, section 4). The student asks itself one leading question.

The sub-question stands at the start of the answer; the student answers it and goes on with its chain of thought.

    OLMo-7B on GSM8K: 13.6 → 19.4   (from secondary sources)
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy
from cotdistill.records import Answer, Completion, Prompt, Question
from cotdistill.strategies._guidance import lead_of
from cotdistill.strategies._self_questions import Questioner, with_questions

__all__ = ["QuestCot"]


class QuestCot(Strategy):
    """The model asks itself one leading sub-question first (Jain et al. 2023)."""

    questioner: str = Field(default="", description="role that asks; empty: the one that answers")
    max_tokens: int = Field(default=48, ge=1, description="tokens of the sub-question")

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        asked: list[Questioner] = []

        async def led(prompt: Prompt, **settings: Any) -> list[Completion]:
            role = settings.get("role", "teacher")
            if asked:
                return await ask(prompt, **settings)
            asked.append(Questioner(question, ask, self.questioner or role, self.max_tokens))
            leading = await asked[0].next()
            if leading:
                settings["prefill"] = f"{lead_of(role)}{leading} "
            return await ask(prompt, **settings)

        answer = await solve(question, led)
        return with_questions(answer, asked, own=not self.questioner)

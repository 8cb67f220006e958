"""A sub-question before every step: the baseline QuestCoT is compared with (Jain et al., arXiv 2311.07945, section 4).

The model writes a step behind each sub-question; when what it writes reaches a conclusion, that is the answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy
from cotdistill.prompting.parts import CONCLUSIONS
from cotdistill.prompting.transcript import one, sentences
from cotdistill.records import Answer, Completion, Prompt, Question
from cotdistill.strategies._guidance import lead_of
from cotdistill.strategies._self_questions import Questioner, with_questions

__all__ = ["SubQuestions"]


class SubQuestions(Strategy):
    """The model asks itself a sub-question before every step."""

    questioner: str = Field(default="", description="role that asks; empty: the one that answers")
    max_tokens: int = Field(default=48, ge=1, description="tokens of a sub-question")
    max_steps: int = Field(
        default=8, ge=1, description="sub-questions after which the model goes on alone"
    )

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        asked: list[Questioner] = []

        async def questioned(prompt: Prompt, **settings: Any) -> list[Completion]:
            if asked:
                return await ask(prompt, **settings)
            role = settings.get("role", "teacher")
            asked.append(Questioner(question, ask, self.questioner or role, self.max_tokens))
            return [await self._step_by_step(ask, asked[0], prompt, settings, lead_of(role))]

        answer = await solve(question, questioned)
        return with_questions(answer, asked, own=not self.questioner)

    async def _step_by_step(
        self, ask: Ask, questioner: Questioner, prompt: Prompt, settings: dict[str, Any], lead: str
    ) -> Completion:
        steps: list[str] = []
        prompt_tokens = completion_tokens = 0
        while True:
            leading = await questioner.next(steps) if len(steps) < self.max_steps else ""
            begin = " ".join([*steps, leading]).strip()
            reply = await one(
                ask, prompt, **settings, **({"prefill": f"{lead}{begin} "} if begin else {})
            )
            prompt_tokens += reply.prompt_tokens
            completion_tokens += reply.completion_tokens
            rest = sentences(reply.text.removeprefix(lead).removeprefix(begin))
            concludes = any(
                marker in rest[0] or rest[1].startswith(marker)
                for marker in CONCLUSIONS
                if len(rest) > 1
            )
            if not leading or len(rest) < 2 or concludes:
                return replace(
                    reply, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens
                )
            steps.append(f"{leading} {rest[0]}")

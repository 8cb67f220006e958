"""A sub-question before every step: QuestCoT's baseline (Jain et al., arXiv 2311.07945, section 4).

The model writes a step behind each sub-question; when what it writes concludes, that is the answer.

    Q: Ana has 3 apples and buys 8 more. How many has she?
    Steps so far: How many does she buy? She buys 8.
    Next sub-question: How many has she then?
"""

from dataclasses import replace
from typing import Any

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy
from cotdistill.prompting.base import (
    CONCLUSIONS,
    Transcript,
    on_first_ask,
    prefill,
    sentences,
    single,
)
from cotdistill.records import Answer, Completion, Prompt, Question


class SubQuestions(Strategy):
    """The model asks itself a sub-question before every step."""

    questioner: str = Field(default="", description="role that asks; empty: the one that answers")
    max_tokens: int = Field(default=48, ge=1, description="tokens of a sub-question")
    max_steps: int = Field(
        default=8, ge=1, description="sub-questions after which the model continues alone"
    )

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        asked = Transcript(question, ask, answer_type)

        async def in_steps(prompt: Prompt, settings: dict[str, Any]) -> Completion:
            role = settings.get("role", "teacher")
            steps, spent = list[str](), [0, 0]
            while True:
                leading = await self._next(asked, self.questioner or role, steps)
                begun = prefill(role, *steps, leading)
                reply = await single(ask, prompt, **settings | {"prefill": begun})
                spent = [spent[0] + reply.prompt_tokens, spent[1] + reply.completion_tokens]
                step, *rest = sentences(reply.text.removeprefix(begun)) or [""]
                two = f"{step}\n{rest[0] if rest else ''}"
                concludes = any(mark in step or f"\n{mark}" in two for mark in CONCLUSIONS)
                if not leading or not rest or concludes:
                    return replace(reply, prompt_tokens=spent[0], completion_tokens=spent[1])
                steps.append(f"{leading} {step}")

        answer = await solve(question, on_first_ask(ask, in_steps))
        return asked.before(answer, guide=bool(self.questioner))

    async def _next(self, asked: Transcript, role: str, steps: list[str]) -> str:
        """Ask for the next sub-question; "" where there is none, or one is asked again."""
        if len(steps) >= self.max_steps:
            return ""
        block = asked.question.block
        prompt = f"Q: {block}\nFirst sub-question:"
        if steps:
            prompt = f"Q: {block}\nSteps so far: {' '.join(steps)}\nNext sub-question:"
        reply = await asked.ask(prompt, role=role, max_tokens=self.max_tokens, stop=("\n",))
        leading = reply.text.strip()
        return "" if any(leading in step for step in steps) else leading

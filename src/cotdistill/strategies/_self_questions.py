"""Sub-questions that a model asks before it answers: their prompts, and how they are put."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cotdistill.contracts import Ask
from cotdistill.prompting.parts import question_block
from cotdistill.prompting.transcript import one
from cotdistill.records import Answer, Question

__all__ = ["Questioner", "first_sub_question_prompt", "next_sub_question_prompt", "with_questions"]


def first_sub_question_prompt(question: Question) -> str:
    """Asks for the one question to begin with (QuestCoT)."""
    return f"Q: {question_block(question)}\nFirst sub-question:"


def next_sub_question_prompt(question: Question, steps: Sequence[str]) -> str:
    """Asks for the question to go on with."""
    return f"Q: {question_block(question)}\nSteps so far: {' '.join(steps)}\nNext sub-question:"


@dataclass
class Questioner:
    """A role that asks sub-questions about one question, and what that cost."""

    question: Question
    ask: Ask
    role: str
    max_tokens: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, steps: Sequence[str] = ()) -> str:
        """The next sub-question in one line; "" where none is asked or one is asked again."""
        prompt = (
            next_sub_question_prompt(self.question, steps)
            if steps
            else first_sub_question_prompt(self.question)
        )
        reply = await one(
            self.ask, prompt, role=self.role, max_tokens=self.max_tokens, stop=("\n",)
        )
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        asked = reply.text.strip()
        self.trace.append({"role": self.role, "prompt": prompt, "text": reply.text})
        return "" if any(asked in step for step in steps) else asked


def with_questions(answer: Answer, asked: Sequence[Questioner], *, own: bool) -> Answer:
    """The answer with what the sub-questions cost: the student's own tokens, or a guide's."""
    tokens = sum(questioner.completion_tokens for questioner in asked)
    return replace(
        answer,
        trace=(*(entry for questioner in asked for entry in questioner.trace), *answer.trace),
        prompt_tokens=answer.prompt_tokens + sum(questioner.prompt_tokens for questioner in asked),
        completion_tokens=answer.completion_tokens + (tokens if own else 0),
        guide_tokens=answer.guide_tokens + (0 if own else tokens),
    )

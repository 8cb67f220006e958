"""Few-shot prompting: exemplars of question and answer from the training split (Brown et al. 2020).

Q: Bo has 2 pens and loses 1. How many has he?
A: The answer is 1.

Q: Ana has 3 apples and buys 8 more. How many has she?
A: The answer is
"""

from typing import ClassVar

from cotdistill.contracts import AnswerType, Ask
from cotdistill.prompting.base import (
    ANSWER_SENTENCE,
    FewShotMethod,
    PromptedMethod,
    Transcript,
    few_shot_prompt,
)
from cotdistill.records import Answer, Question


class FewShot(FewShotMethod, PromptedMethod):
    """Prompting baseline: exemplars with answers alone, then the question."""

    needs_rationales: ClassVar[bool] = False

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask, answer_type)
        prompt = few_shot_prompt(map(exemplar, self.exemplars), query(question))
        return await self.concluded(prompt, transcript, ANSWER_SENTENCE)


def query(question: Question) -> str:
    """Ask for the answer alone."""
    return f"Q: {question.block}\nA: {ANSWER_SENTENCE}"


def exemplar(question: Question) -> str:
    """Show an answered question."""
    return f"{query(question)} {question.gold}."

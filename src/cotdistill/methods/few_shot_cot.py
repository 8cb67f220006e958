"""Few-shot CoT: Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models"
(NeurIPS 2022).

Exemplars with rationales, from the training split only; each ends with the answer sentence.

    Q: Bo has 2 pens and loses 1. How many has he?
    A: Bo starts with 2 pens. He loses 1, so 2 - 1 = 1. The answer is 1.

    Q: Ana has 3 apples and buys 8 more. How many has she?
    A:
"""

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.prompting.base import (
    ANSWER_SENTENCE,
    FewShotMethod,
    PromptedMethod,
    Transcript,
    few_shot_prompt,
)
from cotdistill.records import Answer, Question


class FewShotCot(FewShotMethod, PromptedMethod):
    """Prompting baseline: exemplars with rationales, then the question (Wei et al. 2022)."""

    max_tokens: int = Field(default=256, ge=1, description="tokens the model may write")

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask, answer_type)
        prompt = few_shot_prompt(map(exemplar, self.exemplars), query(question))
        return await self.concluded(prompt, transcript)


def query(question: Question) -> str:
    """Ask for a rationale and an answer."""
    return f"Q: {question.block}\nA:"


def exemplar(question: Question) -> str:
    """Show a worked question."""
    return f"{query(question)} {question.rationale} {ANSWER_SENTENCE} {question.gold}."

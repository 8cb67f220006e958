"""Zero-shot CoT: Kojima et al., "Large Language Models are Zero-Shot Reasoners" (NeurIPS 2022,
arXiv 2205.11916).

Two calls (section 3.1): the rationale, then the answer. They are those of `fine_tune_cot`, so a run
that has both on the same questions asks once.

    Q: Ana has 3 apples and buys 8 more. How many has she?
    A: Let's think step by step. Ana has 3 apples. She buys 8 more, so 3 + 8 = 11.
    Therefore, the answer is
"""

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.prompting.base import ANSWER_TRIGGER, PromptedMethod, Transcript, continued
from cotdistill.records import Answer, Question


class ZeroShotCot(PromptedMethod):
    """Prompting baseline: "Let's think step by step", then the answer (Kojima et al. 2022)."""

    max_tokens: int = Field(default=128, ge=1, description="length limit of the rationale")
    answer_max_tokens: int = Field(
        default=32, ge=1, description="length limit of the second call's reply"
    )

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask, answer_type)
        prompt = f"Q: {question.block}\nA: Let's think step by step."
        reply = await transcript.ask(prompt, role=self.role, max_tokens=self.max_tokens)
        # Always greedy: the second call only reads the answer off, also where the first is sampled.
        second = await transcript.ask(
            f"{continued(prompt, reply.text)}\n{ANSWER_TRIGGER}",
            role=self.role,
            temperature=0.0,
            max_tokens=self.answer_max_tokens,
        )
        text = f"{reply.text.strip()}\n{ANSWER_TRIGGER} {second.text.strip()}"
        return transcript.answer(text, ANSWER_TRIGGER)

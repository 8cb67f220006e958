"""TSLM: Magister et al., "Teaching Small Language Models to Reason" (ACL 2023, arXiv 2212.08410).

The teacher is few-shot prompted with the gold answer between question and rationale (section 3:
"hint"), in the exemplars and in the query, so that it writes a rationale for a known answer; a
rationale that still ends elsewhere is dropped (filter `answer_match`). The student learns the
rationale and its answer sentence from the question alone.

    GSM8K, T5-XXL:  answer-only tuning 8.11 → CoT tuning 21.99 (PaLM-540B as teacher)

    Q: Bo has 2 pens and loses 1. How many has he?
    Answer: 1
    A: Bo starts with 2 pens. He loses 1, so 2 - 1 = 1. The answer is 1.
"""

from typing import ClassVar

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.prompting.base import (
    ANSWER_SENTENCE,
    NEXT_QUESTION,
    FewShotMethod,
    SingleStudent,
    few_shot_prompt,
    read_rationale,
    sampling_temperature,
)
from cotdistill.records import Question, Rationale


class Tslm(FewShotMethod, SingleStudent):
    """Student tuned on few-shot rationales written for the known answer (Magister et al. 2023)."""

    marker: ClassVar[str] = ANSWER_SENTENCE

    hint: bool = Field(
        default=True, description="gold stands before the rationale in the teacher's prompt"
    )
    samples: int = Field(default=1, ge=1, description="rationales asked per question")
    temperature: float | None = Field(
        default=None, ge=0, description="default: greedy for one sample, 0.7 for more"
    )
    max_tokens: int = Field(default=256, ge=1, description="length limit of a teacher's rationale")

    def query(self, question: Question) -> str:
        """Ask for a rationale, of the gold answer where `hint` gives it."""
        hint = f"Answer: {question.gold}\n" if self.hint else ""
        return f"Q: {question.block}\n{hint}A:"

    def teacher_prompt(self, question: Question) -> str:
        """Show worked exemplars, then ask for the question's rationale."""
        shown = [
            f"{self.query(one)} {one.rationale} {ANSWER_SENTENCE} {one.gold}."
            for one in self.exemplars_for(question)
        ]
        return few_shot_prompt(shown, self.query(question))

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        replies = await ask(
            self.teacher_prompt(question),
            samples=self.samples,
            temperature=sampling_temperature(self.samples, self.temperature),
            max_tokens=self.max_tokens,
            stop=NEXT_QUESTION,
        )
        return [read_rationale(question, reply, answer_type) for reply in replies]

    def target(self, question: Question, rationale: Rationale) -> str:
        return f"{rationale.text} {ANSWER_SENTENCE} {question.gold}."

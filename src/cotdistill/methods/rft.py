"""Rejection-sampling fine-tuning, RFT: Yuan et al., "Scaling Relationship on Learning Mathematical
Reasoning with Large Language Models" (arXiv 2308.01825).

A student tuned on a first set of rationales (`source: gold` in the paper) samples k solutions of
each training question (section 3.3). Those that reach gold are added to the first set, one for each
list of equations, and the base is trained anew on all. The first set and targets are those of
Fine-tune-CoT.
"""

from collections.abc import Sequence

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.methods.fine_tune_cot import FineTuneCot, self_annotations
from cotdistill.records import Question, Rationale
from cotdistill.text.arithmetic import equations_key


class Rft(FineTuneCot):
    """Student that adds its own right solutions, one per list of equations (Yuan et al. 2023)."""

    own_samples: int = Field(default=8, ge=1, description="solutions the student samples (k)")
    own_temperature: float = Field(default=0.7, ge=0, description="temperature of these")

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        return (("student",), ("student",))

    async def revise(
        self,
        question: Question,
        rationales: Sequence[Rationale],
        ask: Ask,
        answer_type: AnswerType,
        round: int,
    ) -> list[Rationale]:
        replies = await ask(
            question.block,
            role="student",
            samples=self.own_samples,
            temperature=self.own_temperature,
            max_tokens=self.student_max_tokens,
        )
        own = self_annotations(question, replies, answer_type)
        right = [one for one in own if answer_type.same(one.answer, question.answer)]
        first: dict[str, Rationale] = {}
        for rationale in [*rationales, *right]:
            first.setdefault(equations_key(rationale.text) or rationale.text, rationale)
        return list(first.values())

"""Distilling step-by-step: Hsieh et al. (Findings of ACL 2023, arXiv 2305.02301).

One student, two tasks told apart by a prefix (section 3.2): `predict:` question → label, `explain:` question → rationale;
loss = label + λ · rationale, each the mean over its own tokens: a label of two tokens counts for as much as a rationale of forty.
At test time only the label is asked for, so reasoning costs nothing then. Rationales come from few-shot CoT prompting. The
label is always gold here (the paper also uses the teacher's for unlabelled data).

    "predict: Ana has 3 apples …" -> "11"
    "explain: Ana has 3 apples …" -> "Ana has 3 apples. She buys 8 more, so 3 + 8 = 11."
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.methods._few_shot import FewShotMethod
from cotdistill.prompting.parts import (
    cot_exemplar,
    cot_query,
    exemplar_prompt,
    question_block,
    student_target,
)
from cotdistill.prompting.rationales import few_shot_rationales, sampling_temperature
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Example, Question, Rationale

__all__ = ["StepByStep"]


class StepByStep(FewShotMethod):
    """Student tuned on label and rationale as two tasks; answers without a rationale (Hsieh et al. 2023)."""

    rationale_weight: float = Field(
        default=1.0, ge=0, description="λ, the weight of the rationale task's loss"
    )
    samples: int = Field(default=1, ge=1, description="rationales asked per question")
    max_tokens: int = Field(default=256, ge=1, description="length limit of a teacher's rationale")
    student_max_tokens: int = Field(default=32, ge=1, description="tokens the student may write")

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        shown = [cot_exemplar(exemplar) for exemplar in self.exemplars_for(question)]
        prompt = exemplar_prompt(shown, cot_query(question))
        return await few_shot_rationales(
            question,
            ask,
            answer_type,
            prompt,
            samples=self.samples,
            temperature=sampling_temperature(self.samples, None),
            max_tokens=self.max_tokens,
        )

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        block = question_block(question)
        label, group = student_target(question), f"{question.id} predict"
        yield Example("student", f"predict: {block}", label, group)
        if self.rationale_weight > 0:
            group = f"{question.id} explain"
            yield Example(
                "student",
                f"explain: {block}",
                rationale.text,
                group,
                self.rationale_weight,
            )

    def objective(self, round: int) -> str:
        return "per_example"

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        prompt = f"predict: {question_block(question)}"
        reply = await transcript.ask(prompt, role="student", max_tokens=self.student_max_tokens)
        return transcript.answer(answer_type, reply.text)

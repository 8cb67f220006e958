"""Distilling step-by-step: Hsieh et al. (Findings of ACL 2023, arXiv 2305.02301).

One student, two tasks told apart by a prefix (section 3.2): `predict:` question → label, `explain:`
question → rationale; loss = label + λ · rationale, each the mean over its own tokens: a label of
two tokens counts for as much as a rationale of forty. At test time only the label is asked for, so
reasoning costs nothing then. Rationales come from few-shot CoT prompting. The label is always gold
here (the paper also uses the teacher's for unlabelled data).

    "predict: Ana has 3 apples …" -> "11"
    "explain: Ana has 3 apples …" -> "Ana has 3 apples. She buys 8 more, so 3 + 8 = 11."
"""

from collections.abc import Iterable

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.prompting.base import (
    ANSWER_SENTENCE,
    NEXT_QUESTION,
    FewShotMethod,
    Transcript,
    few_shot_prompt,
    read_rationale,
    sampling_temperature,
)
from cotdistill.records import Answer, Example, Question, Rationale


class StepByStep(FewShotMethod):
    """Student tuned on label and rationale as two tasks (Hsieh et al. 2023)."""

    rationale_weight: float = Field(
        default=1.0, ge=0, description="λ, the weight of the rationale task's loss"
    )
    samples: int = Field(default=1, ge=1, description="rationales asked per question")
    max_tokens: int = Field(default=256, ge=1, description="length limit of a teacher's rationale")
    student_max_tokens: int = Field(default=32, ge=1, description="tokens the student may write")

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        shown = [
            f"Q: {one.block}\nA: {one.rationale} {ANSWER_SENTENCE} {one.gold}."
            for one in self.exemplars_for(question)
        ]
        replies = await ask(
            few_shot_prompt(shown, f"Q: {question.block}\nA:"),
            samples=self.samples,
            temperature=sampling_temperature(self.samples),
            max_tokens=self.max_tokens,
            stop=NEXT_QUESTION,
        )
        return [read_rationale(question, reply, answer_type) for reply in replies]

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        yield Example("student", f"predict: {question.block}", question.gold)
        if self.rationale_weight > 0:
            explain = f"explain: {question.block}"
            yield Example("student", explain, rationale.text, self.rationale_weight)

    def objective(self, round: int) -> str:
        return "per_example"

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask, answer_type)
        prompt, limit = f"predict: {question.block}", self.student_max_tokens
        reply = await transcript.ask(prompt, role="student", max_tokens=limit)
        return transcript.answer(reply.text)

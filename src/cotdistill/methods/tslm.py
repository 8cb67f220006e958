"""TSLM: Magister et al., "Teaching Small Language Models to Reason" (ACL 2023, arXiv 2212.08410).

The teacher is few-shot prompted with the gold answer standing between question and rationale (section 3: "hint"), in the
exemplars and in the query, so that it writes a rationale for a known answer; a rationale that still ends elsewhere is
dropped (filter `answer_match`). The student learns rationale and answer sentence from the question alone.

    GSM8K, T5-XXL:  answer-only tuning 8.11 → CoT tuning 21.99 (PaLM-540B as teacher)

    Q: Bo has 2 pens and loses 1. How many has he?
    Answer: 1
    A: Bo starts with 2 pens. He loses 1, so 2 - 1 = 1. The answer is 1.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.methods._few_shot import FewShotMethod
from cotdistill.prompting import parts as prompts
from cotdistill.prompting.parts import ANSWER_SENTENCE, answer_text, exemplar_prompt, question_block
from cotdistill.prompting.rationales import few_shot_rationales, sampling_temperature
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Example, Question, Rationale

__all__ = ["Tslm"]


class Tslm(FewShotMethod):
    """Student tuned on few-shot rationales written for the known answer (Magister et al. 2023)."""

    hint: bool = Field(
        default=True, description="gold stands before the rationale in the teacher's prompt"
    )
    samples: int = Field(default=1, ge=1, description="rationales asked per question")
    temperature: float | None = Field(
        default=None, ge=0, description="default: greedy for one sample, 0.7 for more"
    )
    max_tokens: int = Field(default=256, ge=1, description="length limit of a teacher's rationale")
    student_max_tokens: int = Field(default=256, ge=1, description="tokens the student may write")

    def teacher_prompt(self, question: Question) -> str:
        """The few-shot prompt, with or without gold before each rationale."""
        exemplar, query = (
            (prompts.hint_exemplar, prompts.hint_query)
            if self.hint
            else (prompts.cot_exemplar, prompts.cot_query)
        )
        return exemplar_prompt(
            [exemplar(shown) for shown in self.exemplars_for(question)], query(question)
        )

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        return await few_shot_rationales(
            question,
            ask,
            answer_type,
            self.teacher_prompt(question),
            samples=self.samples,
            temperature=sampling_temperature(self.samples, self.temperature),
            max_tokens=self.max_tokens,
        )

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        target = f"{rationale.text} {ANSWER_SENTENCE} {answer_text(question)}."
        yield Example("student", question_block(question), target, group=question.id)

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        reply = await transcript.ask(
            question_block(question), role="student", max_tokens=self.student_max_tokens
        )
        return transcript.answer(answer_type, reply.text, markers=(ANSWER_SENTENCE,))

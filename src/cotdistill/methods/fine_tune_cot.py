"""Fine-tune-CoT: Ho, Schmid, Yun, "Large Language Models Are Reasoning Teachers" (ACL 2023, arXiv 2212.10071).

The teacher is asked by zero-shot CoT in two calls (section 3, step 1); a rationale is kept where the second call's answer
is gold (step 2: the filter `answer_match`); the student learns `{rationale} --> {gold}` (step 3). With `samples` above one
this is diverse reasoning (section 3.2): several distinct rationales a question, at temperature 0.7. `source: gold` learns from the
data set's own rationales instead.

    GPT-3 curie (6.7B), MultiArith: 33.33, with diverse reasoning (D = 64) 53.33 (text-davinci-002 as teacher)

Ours beyond the paper: `samples: {distinct: k, at_most: n}` asks until a question has k distinct rationales that reach gold
or n were drawn. Every question goes on alone, so no question waits for another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.prompting.parts import STUDENT_MARKER, question_block, student_target
from cotdistill.prompting.rationales import (
    gold_rationale,
    sampling_temperature,
    zero_shot_rationales,
)
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Example, Question, Rationale

__all__ = ["Adaptive", "FineTuneCot"]


class Adaptive(BaseModel):
    """Ask until a question has `distinct` different rationales that reach gold, or `at_most` were drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distinct: int = Field(ge=1)
    at_most: int = Field(ge=1)

    @model_validator(mode="after")
    def _room_to_ask(self) -> Adaptive:
        if self.at_most < self.distinct:
            raise ValueError(
                f"at_most ({self.at_most}) is below distinct ({self.distinct}); raise at_most"
            )
        return self


Samples: TypeAlias = Annotated[
    Annotated[int, Field(ge=1), Tag("count")] | Annotated[Adaptive, Tag("adaptive")],
    Discriminator(lambda value: "count" if isinstance(value, int | str) else "adaptive"),
]


class FineTuneCot(Method):
    """Student tuned on the teacher's zero-shot rationales, one or D a question (Ho et al. 2023)."""

    source: Literal["teacher", "gold"] = Field(
        default="teacher", description="who wrote the rationales"
    )
    samples: Samples = Field(
        default=1, description="rationales asked per question (D), or {distinct, at_most}"
    )
    temperature: float | None = Field(
        default=None, ge=0, description="default: greedy for one sample, 0.7 for more"
    )
    max_tokens: int = Field(default=128, ge=1, description="length limit of a teacher's rationale")
    answer_call: bool = Field(
        default=True, description="second call for the answer; else read it out of the rationale"
    )
    answer_max_tokens: int = Field(
        default=32, ge=1, description="length limit of the second call's reply"
    )
    student_max_tokens: int = Field(default=256, ge=1, description="tokens the student may write")

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        if self.source == "gold":
            return [gold_rationale(question)]
        if isinstance(self.samples, int):
            return await self._draw(question, ask, answer_type, 0, self.samples)
        drawn: list[Rationale] = []
        while (missing := self.samples.distinct - _verified(drawn, question, answer_type)) > 0 and (
            room := self.samples.at_most - len(drawn)
        ) > 0:
            new = await self._draw(question, ask, answer_type, len(drawn), min(missing, room))
            if not new:
                break
            drawn += new
        return drawn

    async def _draw(
        self, question: Question, ask: Ask, answer_type: AnswerType, first: int, count: int
    ) -> list[Rationale]:
        return await zero_shot_rationales(
            question,
            ask,
            answer_type,
            samples=count,
            first_sample=first,
            temperature=sampling_temperature(1 if self.samples == 1 else 2, self.temperature),
            max_tokens=self.max_tokens,
            answer_call=self.answer_call,
            answer_max_tokens=self.answer_max_tokens,
        )

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        prompt, target = question_block(question), student_target(question, rationale.text)
        yield Example("student", prompt, target, group=question.id)

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        reply = await transcript.ask(
            question_block(question), role="student", max_tokens=self.student_max_tokens
        )
        return transcript.answer(answer_type, reply.text, markers=(STUDENT_MARKER,))


def _verified(rationales: Iterable[Rationale], question: Question, answer_type: AnswerType) -> int:
    """How many different texts among the rationales reach gold."""
    return len(
        {
            " ".join(r.text.split())
            for r in rationales
            if answer_type.same(r.answer, question.answer)
        }
    )

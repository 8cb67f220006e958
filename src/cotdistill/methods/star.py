"""STaR: Zelikman et al. (NeurIPS 2022, arXiv 2203.14465), and rejection-sampling fine-tuning, RFT: Yuan et al.
(arXiv 2308.01825). The student annotates itself.

Round 0 trains on a first set of rationales (of the teacher, or gold); STaR's own start, few-shot prompting of the base
model, needs a base that can already reason a little: `start: base`. In each later round the student that was trained last
solves the training questions again; where it fails it is shown the answer and asked to explain it (STaR, section 3.3:
rationalisation), and the base model is trained anew on what reached gold. RFT is the one-round form: many samples, no
hint, the first rationales kept as well, one rationale for each list of equations.

The student can use a hint only if it has seen one: with `hint` each rationale is also learnt behind a prompt that has the
answer (the papers hint in a few-shot prompt, which a tuned student no longer reads).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field, model_validator

from cotdistill.contracts import AnswerType, Ask
from cotdistill.methods._few_shot import FewShotMethod
from cotdistill.prompting.parts import (
    STUDENT_MARKER,
    answer_text,
    cot_exemplar,
    cot_query,
    exemplar_prompt,
    question_block,
    student_target,
)
from cotdistill.prompting.rationales import (
    few_shot_rationales,
    gold_rationale,
    zero_shot_rationales,
)
from cotdistill.prompting.transcript import Transcript, reasoning_of
from cotdistill.records import Answer, Example, Question, Rationale
from cotdistill.text.arithmetic import equations_key

__all__ = ["Star"]


class Star(FewShotMethod):
    """Student that annotates itself, with the answer as a hint where it failed (STaR); `variant: rft` samples instead."""

    variant: Literal["star", "rft"] = Field(
        default="star", description="rft: one round, many samples, no hint"
    )
    start: Literal["teacher", "gold", "base"] = Field(
        default="teacher", description="who writes round 0's rationales"
    )
    iterations: int = Field(
        default=2, ge=1, description="rounds of self-annotation after round 0 (rft: always 1)"
    )
    samples: int = Field(
        default=1, ge=1, description="self-annotations per question and round (rft default: 8)"
    )
    temperature: float = Field(
        default=0.7, ge=0, description="of the self-annotations where there are several"
    )
    hint: bool = Field(
        default=True, description="explain the gold answer where the student failed (rft: never)"
    )
    keep: bool = Field(
        default=False, description="a question keeps its earlier rationales (rft: always)"
    )
    shots: int = Field(
        default=3, ge=0, description="exemplars in the base's prompt, for `start: base`"
    )
    max_tokens: int = Field(default=128, ge=1, description="length limit of a rationale of round 0")
    student_max_tokens: int = Field(default=256, ge=1, description="tokens the student may write")

    @model_validator(mode="before")
    @classmethod
    def _rft_defaults(cls, values: dict[str, object]) -> dict[str, object]:
        if values.get("variant") == "rft":
            return {"samples": 8, **values, "iterations": 1, "hint": False, "keep": True}
        return values

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        return (("student",),) * (1 + self.iterations)

    @property
    def exemplar_count(self) -> int:
        return self.shots if self.start == "base" else 0

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        if self.start == "gold":
            return [gold_rationale(question)]
        if self.start == "teacher":
            return await zero_shot_rationales(
                question, ask, answer_type, max_tokens=self.max_tokens
            )
        shown = [cot_exemplar(exemplar) for exemplar in self.exemplars_for(question)]
        prompt = exemplar_prompt(shown, cot_query(question))
        return await few_shot_rationales(
            question, ask, answer_type, prompt, role="base", max_tokens=self.max_tokens
        )

    async def revise(
        self,
        question: Question,
        rationales: Sequence[Rationale],
        ask: Ask,
        answer_type: AnswerType,
        round: int,
    ) -> list[Rationale]:
        earlier = list(rationales) if self.keep else []
        own = await self._self_annotate(
            question_block(question), self.samples, question, ask, answer_type
        )
        reached = [
            rationale for rationale in own if answer_type.same(rationale.answer, question.answer)
        ]
        if self.variant == "rft":
            return _distinct_equations([*earlier, *reached])
        if self.hint and not reached and question.answer is not None:
            own += await self._self_annotate(hinted(question), 1, question, ask, answer_type)
        return [*earlier, *own]

    async def _self_annotate(
        self, prompt: str, samples: int, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        replies = await ask(
            prompt,
            role="student",
            samples=samples,
            temperature=self.temperature if samples > 1 else 0.0,
            max_tokens=self.student_max_tokens,
        )
        return [
            Rationale(
                question.id,
                reasoning_of(reply.text, STUDENT_MARKER),
                answer_type.extract(
                    reply.text, options=question.options, markers=(STUDENT_MARKER,)
                ),
                reply.sample_index,
                source="student",
            )
            for reply in replies
        ]

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        target = student_target(question, rationale.text)
        yield Example("student", question_block(question), target, group=question.id)
        if self.hint:
            yield Example("student", hinted(question), target, group=f"{question.id} hint")

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        reply = await transcript.ask(
            question_block(question), role="student", max_tokens=self.student_max_tokens
        )
        return transcript.answer(answer_type, reply.text, markers=(STUDENT_MARKER,))


def hinted(question: Question) -> str:
    """The student's prompt with the answer to explain."""
    return f"{question_block(question)}\nAnswer: {answer_text(question)}"


def _distinct_equations(rationales: Iterable[Rationale]) -> list[Rationale]:
    """The first rationale of each list of equations (RFT, section 3.3)."""
    first: dict[str, Rationale] = {}
    for rationale in rationales:
        first.setdefault(equations_key(rationale.text) or rationale.text, rationale)
    return list(first.values())

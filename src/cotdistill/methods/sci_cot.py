"""Sci-CoT: Ma et al. (arXiv 2308.04679). One small model writes the rationale, another one infers
the answer from it.

The teacher explains the gold answer (`hint`). Stage 1, the rationale model: question block →
`Solution: {rationale}`. Stage 2, the answer model, from the initial checkpoint: question block and
solution → `The answer is (B).` It trains on the teacher's rationales, on those stage 1 writes (in a
second round), or on both, and is tested on stage 1's output. `stages` has the one-model baselines.

    ARC-Easy: an 80M two-stage student passes few-shot BLOOM-176B (abstract; the formats are ours)

    Question: Which of these flies?
    Context: Birds have wings.
    Options: (A) stone (B) bird
    Answer: (B)
    Solution:
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.prompting.base import (
    ANSWER_SENTENCE,
    NEXT_QUESTION,
    Transcript,
    concludes,
    rationale_of,
    sampling_temperature,
    single,
    without_conclusion,
)
from cotdistill.records import Answer, Completion, Example, Question, Rationale, options_line


def block(question: Question) -> str:
    """Show the question, as both stages and the teacher see it."""
    options = f"\n{options_line(question.options)}" if question.options else ""
    return f"Question: {question.text}\nContext: {question.context or 'N/A'}{options}"


def teacher_prompt(question: Question, *, hint: bool = False) -> str:
    """Ask for a rationale, of the gold answer where `hint` gives it."""
    answer = f"Answer: {question.gold}\n" if hint else ""
    return f"{block(question)}\n{answer}Solution:"


def answer_prompt(question: Question, rationale: str) -> str:
    """Show stage 2 the rationale that the answer is inferred from."""
    return f"{block(question)}\nSolution: {rationale}\nAnswer:"


class SciCot(Method):
    """Two students in a row: one writes the rationale, one infers the answer (Ma et al. 2023)."""

    roles: ClassVar[tuple[str, ...]] = ("rationale", "answer")

    stages: Literal["two", "rationale_answer", "answer_rationale"] = Field(
        default="two", description="two models, or one that writes both in this order"
    )
    hint: bool = Field(default=True, description="the teacher is given the gold answer to explain")
    train_rationale: Literal["teacher", "generated", "mixed"] = Field(
        default="generated", description="whose rationales the answer model learns from"
    )
    test_rationale: Literal["own", "teacher"] = Field(
        default="own", description="teacher: the teacher's, without the hint, as an upper bound"
    )
    samples: int = Field(default=1, ge=1, description="rationales asked per question")
    max_tokens: int = Field(default=256, ge=1, description="length limit of a teacher's rationale")
    rationale_max_tokens: int = Field(
        default=256, ge=1, description="tokens the rationale model may write"
    )
    answer_max_tokens: int = Field(
        default=64, ge=1, description="tokens the answer model may write"
    )

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        if self.stages != "two":
            return (("student",),)
        return (self.roles,) if self.train_rationale == "teacher" else (("rationale",), ("answer",))

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        replies = await ask(
            teacher_prompt(question, hint=self.hint),
            samples=self.samples,
            temperature=sampling_temperature(self.samples),
            max_tokens=self.max_tokens,
            stop=NEXT_QUESTION,
        )
        return [self._rationale(question, reply, answer_type) for reply in replies]

    def _rationale(
        self, question: Question, reply: Completion, answer_type: AnswerType
    ) -> Rationale:
        answer = answer_type.extract(reply.text, options=question.options)
        # An explanation of a given answer need not repeat it; one that concludes is judged by that.
        explains = reply.text.strip() and not reply.is_bare and not concludes(reply.text)
        if self.hint and explains:
            answer = question.answer
        return rationale_of(question, without_conclusion(reply.rationale), answer, reply)

    async def revise(
        self,
        question: Question,
        rationales: Sequence[Rationale],
        ask: Ask,
        answer_type: AnswerType,
        round: int,
    ) -> list[Rationale]:
        """Let the rationale model write what the answer model of the second round learns from."""
        limit = self.rationale_max_tokens
        reply = await single(ask, block(question), role="rationale", max_tokens=limit)
        text = reply.text.strip().removeprefix("Solution:").strip()
        generated = Rationale(question.id, text, question.answer, source="student")
        return [*rationales, generated] if self.train_rationale == "mixed" else [generated]

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        prompt, conclusion = block(question), f"{ANSWER_SENTENCE} {question.gold}."
        solution = f"Solution: {rationale.text}"
        if self.stages == "rationale_answer":
            yield Example("student", prompt, f"{solution} {conclusion}")
        elif self.stages == "answer_rationale":
            yield Example("student", prompt, f"{conclusion} {solution}")
        else:
            yield Example("rationale", prompt, solution)
            yield Example("answer", answer_prompt(question, rationale.text), conclusion)

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript, limit = Transcript(question, ask, answer_type), self.rationale_max_tokens
        role, prompt = "rationale", block(question)
        if self.stages != "two":
            role, limit = "student", limit + self.answer_max_tokens
        elif self.test_rationale == "teacher":
            role, prompt, limit = "teacher", teacher_prompt(question), self.max_tokens
        written = (await transcript.ask(prompt, role=role, max_tokens=limit)).text
        if self.stages != "two":
            text = written.split("Solution:")[0] if self.stages == "answer_rationale" else written
            return transcript.answer(text, ANSWER_SENTENCE)
        rationale = without_conclusion(written).removeprefix("Solution:").strip()
        prompt, limit = answer_prompt(question, rationale), self.answer_max_tokens
        reply = await transcript.ask(prompt, role="answer", max_tokens=limit)
        return transcript.answer(f"{rationale}\n{reply.text.strip()}", ANSWER_SENTENCE)

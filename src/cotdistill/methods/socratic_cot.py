"""Socratic CoT: Shridhar, Stolfo, Sachan (Findings of ACL 2023, arXiv 2212.00193).

The teacher (or the data set's gold steps) splits a problem into sub-questions with solutions (section 3.1), written as
GSM8K's Socratic form: one `sub-question ** solution` a line, `#### answer` last. Two students learn from it (section 3.2): the
*decomposer* asks the next sub-question or says "done", the *solver* answers it; at test time they take turns, each seeing what
was really produced (`iterative`), or one model writes both in one go (`unified`).

    GSM8K, GPT-2 large:  answer only 4.62 · gold-step CoT 14.1 · Socratic 21.1   (4.62 recalled, not checked; the others from secondary sources)

`sub_questions: gold` gives the solver the gold sub-questions: the upper bound of the paper's section 5.
Ours, where the paper is silent: students separate steps by " | ", because T5's vocabulary has no newline. The decomposer goes on
behind the last " |", the solver behind the sub-question's " **", so each turn's prompt begins with most of the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.errors import DataError
from cotdistill.prompting.parts import CONTINUE_HERE, STUDENT_MARKER, answer_text, question_block
from cotdistill.prompting.transcript import Transcript
from cotdistill.records import Answer, Completion, Example, Question, Rationale, Step
from cotdistill.text.decomposition import decomposition_quality

__all__ = ["DONE", "SocraticCot", "read_steps", "teacher_prompt"]

DONE = "done"
"""What the decomposer says when nothing is left to ask."""

FINAL = "####"
"""What the last line of the Socratic form begins with."""

_BETWEEN = " | "


class SocraticCot(Method):
    """Two students taking turns: one asks sub-questions, one solves them (Shridhar et al. 2023)."""

    roles: ClassVar[tuple[str, ...]] = ("decomposer", "solver")

    variant: Literal["iterative", "unified"] = Field(
        default="iterative", description="two models in turn, or one"
    )
    source: Literal["teacher", "gold"] = Field(
        default="teacher", description="who decomposes the training questions"
    )
    sub_questions: Literal["own", "gold"] = Field(
        default="own", description="at test time; gold is an upper bound"
    )
    samples: int = Field(default=1, ge=1, description="decompositions asked per question")
    temperature: float = Field(
        default=0.7, ge=0, description="of the teacher where there are several samples"
    )
    max_tokens: int = Field(
        default=256, ge=1, description="length limit of a teacher's decomposition"
    )
    step_max_tokens: int = Field(
        default=96, ge=1, description="tokens a student may write in one turn"
    )
    student_max_tokens: int = Field(
        default=384, ge=1, description="tokens the unified student may write"
    )
    max_steps: int = Field(
        default=10, ge=1, description="turns after which an unfinished question is given up"
    )

    @model_validator(mode="after")
    def _sub_questions_in_turns(self) -> SocraticCot:
        if self.variant == "unified" and self.sub_questions == "gold":
            raise ValueError(
                "`sub_questions: gold` needs `variant: iterative`: one model that writes all is asked none"
            )
        return self

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        if self.variant == "unified":
            return (("student",),)
        return (("solver",),) if self.sub_questions == "gold" else (self.roles,)

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        if self.source == "gold":
            steps = _gold_steps(question, answer_type)
            return [
                Rationale(question.id, _lines(steps), question.answer, source="gold", steps=steps)
            ]
        replies = await ask(
            teacher_prompt(question),
            samples=self.samples,
            temperature=self.temperature if self.samples > 1 else 0.0,
            max_tokens=self.max_tokens,
            stop=CONTINUE_HERE,
        )
        return [self._rationale(question, reply, answer_type) for reply in replies]

    def _rationale(
        self, question: Question, reply: Completion, answer_type: AnswerType
    ) -> Rationale:
        steps = read_steps(reply.text, question, answer_type)
        answer = (
            answer_type.extract(reply.text, options=question.options, markers=(FINAL,))
            if steps
            else None
        )
        return Rationale(
            question.id, _lines(steps), answer, reply.sample_index, steps=steps, keys=(reply.key,)
        )

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        steps = rationale.steps
        if self.variant == "unified":
            target = _BETWEEN.join(
                [*(_pair(step) for step in steps), f"{FINAL} {answer_text(question)}"]
            )
            yield Example("student", question_block(question), target, group=question.id)
            return
        for place, step in enumerate(steps):
            last = place == len(steps) - 1
            result = answer_text(question) if last else step.answer
            yield Example("decomposer", _decomposer_prompt(question, steps[:place]), step.question)
            yield Example(
                "solver",
                _solver_prompt(question, steps[:place], step.question),
                f"{step.solution} {STUDENT_MARKER} {result}",
            )
        yield Example("decomposer", _decomposer_prompt(question, steps), DONE)

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        if self.variant == "unified":
            prompt = question_block(question)
            reply = await transcript.ask(prompt, role="student", max_tokens=self.student_max_tokens)
            return transcript.answer(answer_type, reply.text, markers=(FINAL,))
        steps: list[Step] = []
        text = said = ""
        while len(steps) < self.max_steps:
            asked = await self._next_question(question, steps, transcript, answer_type)
            if asked is None:
                break
            prompt = _solver_prompt(question, steps, asked)
            solved = await transcript.ask(prompt, role="solver", max_tokens=self.step_max_tokens)
            said = solved.text.strip()
            solution, _, result = said.partition(STUDENT_MARKER)
            steps.append(Step(asked, solution.strip(), result.strip()))
            text = "\n".join([text, f"{asked} ** {said}"]).strip()
        # The last turn alone: where it was cut before its result, an earlier sub-answer is not the answer.
        return replace(transcript.answer(answer_type, said, markers=(STUDENT_MARKER,)), text=text)

    async def _next_question(
        self,
        question: Question,
        steps: Sequence[Step],
        transcript: Transcript,
        answer_type: AnswerType,
    ) -> str | None:
        """The next sub-question; None when the decomposer is done, repeats itself, or gold has no more."""
        if self.sub_questions == "gold":
            gold = _gold_steps(question, answer_type)
            return gold[len(steps)].question if len(steps) < len(gold) else None
        prompt = _decomposer_prompt(question, steps)
        reply = await transcript.ask(prompt, role="decomposer", max_tokens=self.step_max_tokens)
        asked = reply.text.strip()
        known = {step.question for step in steps}
        return None if not asked or asked.casefold().startswith(DONE) or asked in known else asked

    def measures(self, answered: Iterable[tuple[Question, Answer]]) -> dict[str, float]:
        return decomposition_quality(answered) if self.sub_questions == "own" else {}


def teacher_prompt(question: Question) -> str:
    """Asks for the Socratic form of a solution."""
    return f"Q: {question_block(question)}\nBreak the question into sub-questions and solve each one.\n"


def read_steps(text: str, question: Question, answer_type: AnswerType) -> tuple[Step, ...]:
    """The steps of a text in Socratic form, each with its sub-answer (its last word where no answer of the task's
    kind is found, as in "The coin is tails."); lines of another form are passed over."""
    steps = []
    for line in text.split(FINAL)[0].splitlines():
        asked, mark, solution = (part.strip() for part in line.partition("**"))
        if mark and asked and solution:
            result = answer_type.extract(solution.rpartition("=")[2], options=question.options)
            steps.append(Step(asked, solution, result or solution.split()[-1].rstrip(".")))
    return tuple(steps)


def _gold_steps(question: Question, answer_type: AnswerType) -> tuple[Step, ...]:
    """The question's own steps, or those of a rationale in Socratic form.

    Raises:
        DataError: it has neither.
    """
    steps = question.steps if all(step.question for step in question.steps) else ()
    steps = steps or read_steps(question.rationale, question, answer_type)
    if not steps:
        raise DataError(
            f"question {question.id} has no gold sub-questions; `source: gold` and `sub_questions: gold` of method "
            "socratic_cot need steps, or rationales with a line `sub-question ** solution` for each step"
        )
    return steps


def _pair(step: Step) -> str:
    return f"{step.question} ** {step.solution}"


def _lines(steps: Sequence[Step]) -> str:
    return "\n".join(_pair(step) for step in steps)


def _decomposer_prompt(question: Question, steps: Sequence[Step]) -> str:
    return _BETWEEN.join([question_block(question), *(_pair(step) for step in steps), ""]).rstrip()


def _solver_prompt(question: Question, steps: Sequence[Step], asked: str) -> str:
    return _BETWEEN.join(
        [question_block(question), *(_pair(step) for step in steps), f"{asked} **"]
    )

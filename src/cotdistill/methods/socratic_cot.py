"""Socratic CoT: Shridhar, Stolfo, Sachan, "Distilling Reasoning Capabilities into Smaller Language
Models" (Findings of ACL 2023, arXiv 2212.00193).

The teacher, or the data set's gold steps, splits a problem into sub-questions with solutions
(section 3.1). Two students learn from them (section 3.2): the *decomposer* asks the next
sub-question or says "done", the *solver* answers it; at test time they take turns, each seeing what
was really produced. One student that writes both: `socratic_unified`.

    GSM8K, GPT-2 large:  answer only 4.62 · gold-step CoT 14.1 · Socratic 21.1
    (4.62 recalled, not checked; the others from secondary sources)

    Q: Ana has 3 apples and buys 8 more. How many has she?
    Break the question into sub-questions and solve each one.
    How many apples does Ana buy? ** She buys 8 apples.
    How many has she then? ** She has 3 + 8 = 11 apples.
    #### 11

`sub_questions: gold` gives the solver the gold sub-questions: the upper bound of section 5. Ours,
where the paper is silent: students separate steps by " | ", because T5's vocabulary has no newline;
each turn's prompt begins with most of the one before, so that engines compute only what is new.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.prompting.base import (
    NEXT_QUESTION,
    STUDENT_MARKER,
    Transcript,
    rationale_of,
    sampling_temperature,
)
from cotdistill.prompting.socratic import (
    SOCRATIC_END,
    decomposition_quality,
    gold_sub_questions,
    pair,
    read_steps,
)
from cotdistill.records import Answer, Completion, Example, Question, Rationale, Step

DONE = "done"
"""The decomposer's reply when no sub-question is left."""


def teacher_prompt(question: Question) -> str:
    """Ask for a solution in Socratic form."""
    return f"Q: {question.block}\nBreak the question into sub-questions and solve each one.\n"


class SocraticMethod(Method):
    """Rationales in Socratic form, as both variants learn from them."""

    source: Literal["teacher", "gold"] = Field(
        default="teacher", description="who decomposes the training questions"
    )
    samples: int = Field(default=1, ge=1, description="decompositions asked per question")
    max_tokens: int = Field(default=256, ge=1, description="tokens of a teacher's decomposition")

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        if self.source == "gold":
            steps, answer = gold_sub_questions(question, answer_type), question.answer
            text = "\n".join(map(pair, steps))
            return [Rationale(question.id, text, answer, source="gold", steps=steps)]
        replies = await ask(
            teacher_prompt(question),
            samples=self.samples,
            temperature=sampling_temperature(self.samples),
            max_tokens=self.max_tokens,
            stop=NEXT_QUESTION,
        )
        return [_rationale(question, reply, answer_type) for reply in replies]

    def measures(self, answered: Iterable[tuple[Question, Answer]]) -> dict[str, float]:
        return decomposition_quality(answered)


class SocraticCot(SocraticMethod):
    """Two students taking turns: one asks sub-questions, one solves them (Shridhar et al. 2023)."""

    roles: ClassVar[tuple[str, ...]] = ("decomposer", "solver")

    sub_questions: Literal["own", "gold"] = Field(
        default="own", description="at test time; gold is an upper bound"
    )
    step_max_tokens: int = Field(default=96, ge=1, description="a student's tokens in one turn")
    max_steps: int = Field(
        default=10, ge=1, description="turns after which an unfinished question is given up"
    )

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        return (("solver",),) if self.sub_questions == "gold" else (self.roles,)

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        for place, step in enumerate(rationale.steps):
            so_far = _so_far(question, rationale.steps[:place])
            last = place == len(rationale.steps) - 1
            result = question.gold if last else step.answer
            solution = f"{step.solution} {STUDENT_MARKER} {result}"
            yield Example("decomposer", so_far.rstrip(), step.question)
            yield Example("solver", f"{so_far}{step.question} **", solution)
        yield Example("decomposer", _so_far(question, rationale.steps).rstrip(), DONE)

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask, answer_type)
        steps, lines, limit = list[Step](), list[str](), self.step_max_tokens
        gold = gold_sub_questions(question, answer_type) if self.sub_questions == "gold" else ()
        said = ""
        while len(steps) < self.max_steps:
            so_far = _so_far(question, steps)
            if self.sub_questions == "gold":
                asked = gold[len(steps)].question if len(steps) < len(gold) else DONE
            else:
                reply = await transcript.ask(so_far.rstrip(), role="decomposer", max_tokens=limit)
                asked = reply.text.strip()
            # A decomposer that repeats itself would go on to the limit.
            if asked.casefold().startswith(DONE) or asked in ("", *(s.question for s in steps)):
                break
            solver = await transcript.ask(f"{so_far}{asked} **", role="solver", max_tokens=limit)
            said = solver.text.strip()
            solution, _, result = said.partition(STUDENT_MARKER)
            steps.append(Step(asked, solution.strip(), result.strip()))
            lines.append(f"{asked} ** {said}")
        # The last turn alone: where it was cut before its result, no earlier one is the answer.
        return replace(transcript.answer(said, STUDENT_MARKER), text="\n".join(lines))

    def measures(self, answered: Iterable[tuple[Question, Answer]]) -> dict[str, float]:
        return super().measures(answered) if self.sub_questions == "own" else {}


def _rationale(question: Question, reply: Completion, answer_type: AnswerType) -> Rationale:
    steps = read_steps(reply.text, question, answer_type)
    final = answer_type.extract(reply.text, options=question.options, markers=(SOCRATIC_END,))
    text = "\n".join(map(pair, steps))
    return rationale_of(question, text, final if steps else None, reply, steps=steps)


def _so_far(question: Question, steps: Sequence[Step]) -> str:
    """Show a student the question and the steps so far, up to where the next begins."""
    return " | ".join([question.block, *map(pair, steps), ""])

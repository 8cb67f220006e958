"""Parts of methods and strategies: reading a reply, one question's transcript, small bases.

A method's prompts stand in the method's own file; `Question.block` and `Question.gold` write the
question and its answer the same way in all of them. Prompts are exact text and key the completion
log, so a change of one space asks a teacher everything anew.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeVar

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.errors import DataError, QuestionFailed
from cotdistill.records import Answer, Completion, Example, Prompt, Question, Rationale, Step
from cotdistill.text import markers

_T = TypeVar("_T")

ANSWER_SENTENCE = "The answer is"
"""Begins the last sentence of a few-shot rationale; a marker for extraction."""

ANSWER_TRIGGER = "Therefore, the answer is"
"""Ends the second call of zero-shot CoT (Kojima et al. 2022); a marker for extraction."""

STUDENT_MARKER = "-->"
"""Stands between rationale and answer in a student's target (Ho et al. 2023); also a marker."""

CONCLUSIONS = (STUDENT_MARKER, "####", ANSWER_SENTENCE, ANSWER_TRIGGER)
"""Every marker a conclusion is written with here: for texts whose writer is not known."""

NEXT_QUESTION = ("\nQ:", "\nQuestion:")
"""Stop strings of few-shot prompts: the model would continue with a question of its own."""

# A sentence ends behind its mark, at white space, or at the end of a line: never at "3.5".
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass
class Transcript:
    """All asks for one question; its answer has them all in its trace and their tokens summed."""

    question: Question
    asker: Ask
    answer_type: AnswerType
    trace: list[dict[str, Any]] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    async def ask(self, prompt: Prompt, *, role: str, **settings: Any) -> Completion:
        """Ask for one completion and note it down. `settings` are those of `Ask`."""
        completion = await single(self.asker, prompt, role=role, **settings)
        cut = {"truncated": True} if completion.finish_reason == "length" else {}
        self.trace.append({"role": role, "prompt": prompt, "text": completion.text, **cut})
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        return completion

    def answer(self, text: str, *after: str) -> Answer:
        """Return the answer that `text` concludes with, behind the last of these markers."""
        found = self.answer_type.extract(text, options=self.question.options, markers=after)
        tokens = self.prompt_tokens, self.completion_tokens
        return Answer(self.question.id, found, text, tuple(self.trace), (), *tokens)

    def before(self, answer: Answer, *, guide: bool) -> Answer:
        """Return an answer with these asks before its own, as a guide's tokens or its own."""
        own, guides = (0, self.completion_tokens) if guide else (self.completion_tokens, 0)
        return replace(
            answer,
            trace=(*self.trace, *answer.trace),
            prompt_tokens=answer.prompt_tokens + self.prompt_tokens,
            completion_tokens=answer.completion_tokens + own,
            guide_tokens=answer.guide_tokens + guides,
        )


class SingleStudent(Method):
    """Base of methods with one student that is asked the plain question, once."""

    marker: ClassVar[str] = STUDENT_MARKER
    """Stands before the answer in `target`."""

    student_max_tokens: int = Field(default=256, ge=1, description="tokens the student may write")

    def target(self, question: Question, rationale: Rationale) -> str:
        """Return what the student learns to write; by default `{rationale} --> {answer}`."""
        return f"{rationale.text} {STUDENT_MARKER} {question.gold}"

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        target = self.target(question, rationale)
        yield Example("student", question.block, target)

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask, answer_type)
        limit = self.student_max_tokens
        reply = await transcript.ask(question.block, role="student", max_tokens=limit)
        return transcript.answer(reply.text, *([self.marker] if self.marker else []))


class FewShotMethod(Method):
    """Base of methods whose prompts show worked exemplars, drawn from the training split."""

    needs_rationales: ClassVar[bool] = True

    shots: int = Field(default=8, ge=0, description="exemplars in the prompt")
    exemplar_seed: int = Field(default=0, description="seed of their draw from the training split")
    exemplars: tuple[Question, ...] = Field(
        default=(), description="filled by the run; leave it out of a recipe"
    )

    @property
    def exemplar_count(self) -> int:
        return self.shots

    @property
    def exemplar_draw(self) -> int:
        return self.exemplar_seed

    def with_exemplars(self, exemplars: Sequence[Question]) -> Self:
        for shown in exemplars if self.needs_rationales else ():
            remedy = "rationale: give the data a rationale column or set `shots: 0`"
            required(shown.rationale, shown, remedy)
        return self.model_copy(update={"exemplars": tuple(exemplars)})

    def exemplars_for(self, question: Question) -> list[Question]:
        """Return the exemplars without the question itself, whose rationale it would copy."""
        own = question.id, question.same_text
        return [e for e in self.exemplars if e.id != own[0] and e.same_text != own[1]]


class PromptedMethod(Method):
    """Base of the prompting baselines: nothing is trained, one role is prompted."""

    roles: ClassVar[tuple[str, ...]] = ()

    role: str = Field(
        default="teacher",
        description='who is asked: "teacher", "base" (the untrained student) or "guide"',
    )
    max_tokens: int = Field(default=32, ge=1, description="tokens the model may write")

    @property
    def prompted_role(self) -> str:
        return self.role

    async def concluded(self, prompt: str, transcript: Transcript, begun: str = "") -> Answer:
        """Ask once and read the answer off; the prompt ends with `begun`, where that is given."""
        reply = await transcript.ask(
            prompt, role=self.role, max_tokens=self.max_tokens, stop=NEXT_QUESTION
        )
        text = f"{begun} {reply.text.strip()}" if begun else reply.text
        return transcript.answer(text, ANSWER_SENTENCE)


async def single(ask: Ask, prompt: Prompt, **settings: Any) -> Completion:
    """Return the single completion of an ask; a recorded teacher may have none for a prompt."""
    completions = await ask(prompt, **settings)
    if not completions:
        start = f"no completion for the prompt that begins {prompt[:60]!r}"
        raise QuestionFailed(start, "no completion")
    return completions[0]


async def gather_partial(samples: Iterable[Awaitable[_T]]) -> list[_T | QuestionFailed]:
    """Return the results of several samples in order, a failed one as its failure.

    Raises:
        QuestionFailed: every sample failed; the first failure.
    """

    results = await asyncio.gather(*samples, return_exceptions=True)
    partial = list[_T | QuestionFailed]()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, QuestionFailed):
            raise result
        partial.append(result)
    failures = [result for result in partial if isinstance(result, QuestionFailed)]
    if failures and len(failures) == len(partial):
        raise failures[0]
    return partial


def on_first_ask(
    ask: Ask, act: Callable[[Prompt, dict[str, Any]], Awaitable[Completion]], role: str = ""
) -> Ask:
    """Return an ask that hands its first call, or the first of a role, to `act`."""
    waiting = True

    async def asked(prompt: Prompt, **settings: Any) -> list[Completion]:
        nonlocal waiting
        if not waiting or role not in ("", settings.get("role", "teacher")):
            return await ask(prompt, **settings)
        waiting = False
        return [await act(prompt, settings)]

    return asked


def read_rationale(
    question: Question,
    reply: Completion,
    answer_type: AnswerType,
    marker: str = ANSWER_SENTENCE,
    source: str = "teacher",
) -> Rationale:
    """Return the rationale of a reply that ends with its answer, behind the last marker."""
    answer = answer_type.extract(reply.text, options=question.options, markers=(marker,))
    text = without_conclusion(reply.rationale, marker)
    return rationale_of(question, text, answer, reply, source=source)


def rationale_of(
    question: Question,
    text: str,
    answer: str | None,
    *replies: Completion,
    source: str = "teacher",
    steps: tuple[Step, ...] = (),
) -> Rationale:
    """Return a rationale that was made of replies, the first of which has its text.

    `extra` says "truncated" where the length limit ended that one, for the filter of that name.
    """
    keys = tuple(reply.key for reply in replies)
    extra = {"truncated": True} if replies[0].finish_reason == "length" else {}
    return Rationale(question.id, text, answer, replies[0].sample_index, source, steps, keys, extra)


def gold_rationale(question: Question) -> Rationale:
    """Return the data set's own rationale.

    Raises:
        DataError: the question has none.
    """
    remedy = "gold rationale; take the rationales of the teacher instead"
    text = required(question.rationale, question, remedy)
    return Rationale(question.id, text, question.answer, source="gold")


def required(value: _T, question: Question, what: str) -> _T:
    """Return what the data gives for a question.

    Raises:
        DataError: it is empty; the message names the question and `what` is missing.
    """
    if not value:
        raise DataError(f"question {question.id} has no {what}")
    return value


def concludes(text: str) -> bool:
    """Return whether a reply states an answer in any usual writing: a marker, or a box."""
    said = markers.reply(text)
    return markers.conclusion(said) is not None or markers.last_box(said) is not None


def few_shot_prompt(exemplars: Iterable[str], query: str) -> str:
    """Return worked exemplars and then the query, a blank line between any two."""
    return "\n\n".join([*exemplars, query])


def continued(prompt: str, reply: str) -> str:
    """Return a prompt with its reply behind it, white space between."""
    return prompt + reply if not reply or reply[0].isspace() else f"{prompt} {reply}"


def prefill(role: str, *parts: str) -> str:
    """Return what a role's reply is to begin with, the parts joined; "" without any.

    An untrained model is prompted with "A:", behind which its reply begins with a space; a trained
    student's format has that space already.
    """
    text = " ".join(part for part in parts if part)
    lead = " " if role in ("teacher", "base", "guide") else ""
    return f"{lead}{text} " if text else ""


def sampling_temperature(samples: int, temperature: float | None = None) -> float:
    """Return the temperature set, or greedy for one sample, 0.7 for more (Ho et al. 2023, 3.2)."""
    return (0.0 if samples == 1 else 0.7) if temperature is None else temperature


def without_conclusion(text: str, marker: str = ANSWER_SENTENCE) -> str:
    """Return a text up to its last marker; all of it where there is none."""
    before, found, _ = text.rpartition(marker)
    return (before if found else text).strip()


def sentences(text: str) -> list[str]:
    """Return the steps of a rationale, its sentences."""
    return [part for part in _SENTENCE_END.split(text.strip()) if part]

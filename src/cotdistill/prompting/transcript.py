"""What every `annotate` and `solve` needs: one answer made of all that was asked, and texts cut at their conclusion."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cotdistill.contracts import AnswerType, Ask
from cotdistill.errors import DataError, QuestionFailed
from cotdistill.prompting.parts import ANSWER_SENTENCE, ANSWER_TRIGGER, answer_call
from cotdistill.records import Answer, Completion, Prompt, Question

__all__ = [
    "Transcript",
    "concluded",
    "one",
    "reasoning_of",
    "sentences",
    "settled",
    "with_rationales",
]

_Result = TypeVar("_Result")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass
class Transcript:
    """Everything asked for one question: asks are put through it, and the answer is made of it."""

    question: Question
    asker: Ask
    trace: list[dict[str, Any]] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    async def ask(self, prompt: str, *, role: str, **settings: Any) -> Completion:
        """One completion, noted down. `settings` are those of `Ask`."""
        completion = await one(self.asker, prompt, role=role, **settings)
        self.trace.append({"role": role, "prompt": prompt, "text": completion.text})
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        return completion

    def answer(self, answer_type: AnswerType, text: str, markers: Sequence[str] = ()) -> Answer:
        """The answer that `text` concludes with, with the trace and the tokens of every ask."""
        return Answer(
            question_id=self.question.id,
            answer=answer_type.extract(text, options=self.question.options, markers=markers),
            text=text,
            trace=tuple(self.trace),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )


async def one(ask: Ask, prompt: Prompt, **settings: Any) -> Completion:
    """The single completion of an ask; a recorded teacher may have none for a prompt."""
    completions = await ask(prompt, **settings)
    if not completions:
        raise QuestionFailed(
            f"no completion for the prompt that begins {prompt[:60]!r}", "no completion"
        )
    return completions[0]


async def settled(samples: Iterable[Awaitable[_Result]]) -> list[_Result | QuestionFailed]:
    """The results of several samples in order, the failure where one has failed: the others were paid for and are kept.

    Raises:
        QuestionFailed: every sample failed; the first failure.
    """

    results = await asyncio.gather(*samples, return_exceptions=True)
    settled = list[_Result | QuestionFailed]()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, QuestionFailed):
            raise result
        settled.append(result)
    failures = [result for result in settled if isinstance(result, QuestionFailed)]
    if failures and len(failures) == len(settled):
        raise failures[0]
    return settled


async def concluded(
    question: Question,
    ask: Ask,
    answer_type: AnswerType,
    prompt: str,
    reply: str,
    *,
    role: str,
    max_tokens: int,
) -> tuple[str | None, Completion]:
    """The answer a zero-shot rationale leads to, by the second call: greedy, the first candidate of its reply."""
    completion = await one(ask, answer_call(prompt, reply), role=role, max_tokens=max_tokens)
    text = f"{ANSWER_TRIGGER} {completion.text}"
    return answer_type.extract(
        text, options=question.options, markers=(ANSWER_TRIGGER,)
    ), completion


def reasoning_of(text: str, marker: str = ANSWER_SENTENCE) -> str:
    """A reply without its answer sentence: what stands before the last marker; all of it where there is none."""
    before, found, _ = text.rpartition(marker)
    return (before if found else text).strip()


def sentences(text: str) -> list[str]:
    """The steps of a rationale: its sentences, a decimal point being no end of one."""
    return [part for part in _SENTENCE_END.split(text.strip()) if part]


def with_rationales(exemplars: Sequence[Question]) -> tuple[Question, ...]:
    """Exemplars for prompts that show rationales.

    Raises:
        DataError: one has none; the message names it.
    """
    for exemplar in exemplars:
        if not exemplar.rationale:
            raise DataError(
                f"exemplar {exemplar.id} has no rationale; give the data a rationale column or set `shots: 0`"
            )
    return tuple(exemplars)

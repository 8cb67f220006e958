"""Sci-CoT: Ma et al., "Sci-CoT: Leveraging Large Language Models for Enhanced Knowledge Distillation in Small Models for
Scientific QA" (arXiv 2308.04679). Two stages: one small model writes the rationale, another one infers the answer from it.

The teacher explains the gold answer (`hint`). Stage 1, the rationale model: question block → `Solution: {rationale}`. Stage 2,
the answer model, starts from the initial checkpoint: question block and solution → `The answer is (B).` It trains on the teacher's
rationales, on those stage 1 writes (`train_rationale: generated`, trained in a second round), or on both, and is tested
on stage 1's output. Baselines with one model: `stages: rationale_answer` and `answer_rationale`.

    ARC-Easy: an 80M two-stage student passes few-shot BLOOM-176B (abstract; the formats here are ours)

    Question: Which of these flies?
    Context: Birds have wings.
    Options: (A) stone (B) bird
    Answer: (B)
    Solution:
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import ClassVar, Literal

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.prompting.parts import (
    ANSWER_SENTENCE,
    CONTINUE_HERE,
    answer_text,
    option_letters,
    options_line,
)
from cotdistill.prompting.rationales import sampling_temperature
from cotdistill.prompting.transcript import Transcript, one, reasoning_of
from cotdistill.records import Answer, Completion, Example, Question, Rationale
from cotdistill.text import markers as _reading

__all__ = ["SciCot", "block", "teacher_prompt"]

SOLUTION = "Solution:"
_ALONE = r"(?<![^\W_]) (?<!°) LETTER (?![^\W_])"
_LIST = rf"""[\s:*"'_]{{1,4}} {_ALONE} (?: (?: \s*,\s* (?:and\s+|or\s+)? | \s+(?:and|or)\s+ ) {_ALONE} )*"""
_ARTICLE = r"""A \s+ (?! (?:is|was|are|were|has|had|does|do|did|can|cannot|could|will|would|should|must|seems
    |because|since|as|and|or|but|for|from|to|which) \b ) \w"""
_MENTIONS = rf"""
    (?P<option>
        [(\[{{] \s* LETTER \s* [)\]}}]
      | \b (?i:options?|choices?) {_LIST}
      | \b (?i:answers? (?:\s+(?:is|are|was|(?:would|must|should)\s+be))? (?:\s+not)?) (?! :?\s* {_ARTICLE} ) {_LIST}
      | (?: ^ | \s\s ) [\s*"'-]{{0,9}} LETTER (?= \s?[.):] )
      | (?: [^\w\s-] \s* | -\s ) LETTER (?= : ) )
  | (?: ^ | [.!?:)]\s ) [\s*"'(-]{{0,9}} {_ARTICLE}
  | (?P<unclear> {_ALONE} | (?i: [(\[{{] \s* LETTER \s* [)\]}}] | \b (?:option|choice) \s+ LETTER \b ) )
"""
"""Letters in a rationale: an option's, the article that begins a sentence ("A bird"), or unclear ("B flies")."""
_LETTER = re.compile(_ALONE.replace("LETTER", "[A-Z]"), re.VERBOSE)


class SciCot(Method):
    """Two students in a row: one writes the rationale, one infers the answer from it (Ma et al. 2023)."""

    roles: ClassVar[tuple[str, ...]] = ("rationale", "answer")

    stages: Literal["two", "rationale_answer", "answer_rationale"] = Field(
        default="two", description="two models, or one that writes both in this order"
    )
    hint: bool = Field(default=True, description="the teacher is given the gold answer to explain")
    train_rationale: Literal["teacher", "generated", "mixed"] = Field(
        default="generated", description="whose rationales the answer model learns from"
    )
    test_rationale: Literal["own", "teacher"] = Field(
        default="own",
        description="teacher: the teacher's, written without the hint, as an upper bound",
    )
    shuffles: int = Field(
        default=0, ge=0, description="extra training copies, each with the options in another order"
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
            temperature=sampling_temperature(self.samples, None),
            max_tokens=self.max_tokens,
            stop=CONTINUE_HERE,
        )
        return [self._rationale(question, reply, answer_type) for reply in replies]

    def _rationale(
        self, question: Question, reply: Completion, answer_type: AnswerType
    ) -> Rationale:
        """A rationale written for a given answer concludes with it, unless the reply says otherwise."""
        if self.hint and _explains(reply.text):
            answer = question.answer
        else:
            answer = answer_type.extract(reply.text, options=question.options)
        cut = {"cut": True} if reply.finish_reason == "length" else {}
        text = reasoning_of(reply.text)
        return Rationale(
            question.id, text, answer, reply.sample_index, keys=(reply.key,), extra=cut
        )

    async def revise(
        self,
        question: Question,
        rationales: Sequence[Rationale],
        ask: Ask,
        answer_type: AnswerType,
        round: int,
    ) -> list[Rationale]:
        reply = await one(
            ask, block(question), role="rationale", max_tokens=self.rationale_max_tokens
        )
        text = reply.text.strip().removeprefix(SOLUTION).strip()
        generated = Rationale(question.id, text, question.answer, source="student")
        return [*rationales, generated] if self.train_rationale == "mixed" else [generated]

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        for asked, text in _orders(question, rationale, self.shuffles):
            prompt, conclusion = block(asked), f"{ANSWER_SENTENCE} {answer_text(asked)}."
            solution = f"{SOLUTION} {text}"
            if self.stages == "rationale_answer":
                yield Example("student", prompt, f"{solution} {conclusion}", group=prompt)
            elif self.stages == "answer_rationale":
                yield Example("student", prompt, f"{conclusion} {solution}", group=prompt)
            else:
                yield Example("rationale", prompt, solution, group=prompt)
                yield Example("answer", answer_prompt(asked, text), conclusion)

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        transcript = Transcript(question, ask)
        limit = self.rationale_max_tokens
        if self.stages != "two":
            reply = await transcript.ask(
                block(question), role="student", max_tokens=limit + self.answer_max_tokens
            )
            text = (
                reply.text.split(SOLUTION)[0] if self.stages == "answer_rationale" else reply.text
            )
            return transcript.answer(answer_type, text, markers=(ANSWER_SENTENCE,))
        if self.test_rationale == "teacher":
            written = await transcript.ask(
                teacher_prompt(question), role="teacher", max_tokens=self.max_tokens
            )
        else:
            written = await transcript.ask(block(question), role="rationale", max_tokens=limit)
        rationale = reasoning_of(written.text).removeprefix(SOLUTION).strip()
        prompt = answer_prompt(question, rationale)
        reply = await transcript.ask(prompt, role="answer", max_tokens=self.answer_max_tokens)
        return transcript.answer(
            answer_type, f"{rationale}\n{reply.text.strip()}", markers=(ANSWER_SENTENCE,)
        )


def _explains(text: str) -> bool:
    """Whether a reply has reasoning and no conclusion of its own: no marker, whatever its writing, and no box."""
    said = _reading.reply(text)
    return (
        bool(said.strip()) and _reading.conclusion(said) is None and _reading.last_box(said) is None
    )


def block(question: Question) -> str:
    """The question block of both stages and of the teacher."""
    lines = [f"Question: {question.text}", f"Context: {question.context or 'N/A'}"]
    return "\n".join([*lines, options_line(question.options)] if question.options else lines)


def teacher_prompt(question: Question, *, hint: bool = False) -> str:
    """Asks for a rationale, of the gold answer where `hint` gives it."""
    lines = [block(question), *([f"Answer: {answer_text(question)}"] if hint else []), SOLUTION]
    return "\n".join(lines)


def answer_prompt(question: Question, rationale: str) -> str:
    """Stage 2: the question with the rationale that the answer is inferred from."""
    return f"{block(question)}\n{SOLUTION} {rationale}\nAnswer:"


def _orders(
    question: Question, rationale: Rationale, shuffles: int
) -> Iterator[tuple[Question, str]]:
    """The question as it is and with its options in other orders; letters in answer and rationale follow.

    A rationale with a letter that may or may not be an option's ("B flies") is shown in its own order alone.
    """
    yield question, rationale.text
    if not shuffles or not question.options or question.answer is None:
        return
    letters = option_letters(len(question.options))
    mentions = _mentions(letters)
    if _unclear(mentions, rationale.text, question.options):
        return
    seed = hashlib.sha256(f"{question.id}\n{rationale.sample_index}".encode()).digest()
    for order in _other_orders(random.Random(seed), len(letters), shuffles):
        moved = {letters[old]: letters[new] for new, old in enumerate(order)}
        text = mentions.sub(partial(_moved_letters, moved), rationale.text)
        options = tuple(question.options[old] for old in order)
        yield replace(question, options=options, answer=moved[question.answer]), text


def _other_orders(generator: random.Random, size: int, count: int) -> Iterator[tuple[int, ...]]:
    """`count` orders other than the first and one another, or as many as there are."""
    seen = {tuple(range(size))}
    for _ in range(min(count, math.factorial(size) - 1)):
        while (order := tuple(generator.sample(range(size), size))) in seen:
            pass
        seen.add(order)
        yield order


@lru_cache
def _mentions(letters: str) -> re.Pattern[str]:
    return re.compile(_MENTIONS.replace("LETTER", f"[{letters}]"), re.MULTILINE | re.VERBOSE)


def _unclear(mentions: re.Pattern[str], text: str, options: Sequence[str]) -> bool:
    """Whether the text has a letter that may or may not be an option's; those in an option's own words ("vitamin C") are not."""
    own = "|".join(
        re.escape(option) for option in sorted(options, key=len, reverse=True) if len(option) > 1
    )
    others = re.sub(rf"(?<!\w)(?:{own})(?!\w)", "words", text, flags=re.IGNORECASE) if own else text
    return any(found.lastgroup == "unclear" for found in mentions.finditer(others))


def _moved_letters(moved: Mapping[str, str], found: re.Match[str]) -> str:
    if found.lastgroup != "option":
        return found[0]
    return _LETTER.sub(lambda letter: moved.get(letter[0], letter[0]), found[0])

"""How a model is asked for rationales in the two ways that several methods share: zero-shot in two calls, and few-shot."""

from __future__ import annotations

from cotdistill.contracts import AnswerType, Ask
from cotdistill.errors import DataError, QuestionFailed
from cotdistill.prompting.parts import (
    ANSWER_SENTENCE,
    CONCLUSIONS,
    CONTINUE_HERE,
    zero_shot_cot_prompt,
)
from cotdistill.prompting.transcript import concluded, reasoning_of, settled
from cotdistill.records import Completion, Question, Rationale

__all__ = ["few_shot_rationales", "gold_rationale", "sampling_temperature", "zero_shot_rationales"]


def gold_rationale(question: Question) -> Rationale:
    """The data set's own rationale.

    Raises:
        DataError: the question has none.
    """
    if not question.rationale:
        raise DataError(
            f"question {question.id} has no gold rationale; take the rationales of the teacher instead"
        )
    return Rationale(question.id, question.rationale, question.answer, source="gold")


def sampling_temperature(samples: int, temperature: float | None) -> float:
    """The temperature that is set, or greedy for one sample and 0.7 for more (Ho et al. 2023, section 3.2)."""
    if temperature is not None:
        return temperature
    return 0.0 if samples == 1 else 0.7


async def zero_shot_rationales(
    question: Question,
    ask: Ask,
    answer_type: AnswerType,
    *,
    role: str = "teacher",
    samples: int = 1,
    first_sample: int = 0,
    temperature: float = 0.0,
    max_tokens: int = 128,
    answer_call: bool = True,
    answer_max_tokens: int = 32,
) -> list[Rationale]:
    """Rationales by "Let's think step by step", each concluded by a second, greedy call (Ho et al. 2023, section 3).

    Without `answer_call` the answer is read out of the rationale, which then ends before its answer sentence.
    """
    prompt = zero_shot_cot_prompt(question)
    replies = await ask(
        prompt,
        role=role,
        samples=samples,
        first_sample=first_sample,
        temperature=temperature,
        max_tokens=max_tokens,
    )

    async def rationale(reply: Completion) -> Rationale:
        if not answer_call or reply.is_bare:  # a bare reply beside reasoning is the answer call
            answer = answer_type.extract(reply.text, options=question.options, markers=CONCLUSIONS)
            return _rationale(question, reply, reasoning_of(reply.rationale), answer)
        answer, second = await concluded(
            question, ask, answer_type, prompt, reply.text, role=role, max_tokens=answer_max_tokens
        )
        return _rationale(question, reply, reasoning_of(reply.text), answer, second)

    made = await settled(rationale(reply) for reply in replies)
    return [one for one in made if not isinstance(one, QuestionFailed)]


async def few_shot_rationales(
    question: Question,
    ask: Ask,
    answer_type: AnswerType,
    prompt: str,
    *,
    role: str = "teacher",
    samples: int = 1,
    temperature: float = 0.0,
    max_tokens: int = 256,
) -> list[Rationale]:
    """Rationales by a few-shot prompt whose exemplars end with the answer sentence (Wei et al. 2022)."""
    replies = await ask(
        prompt,
        role=role,
        samples=samples,
        temperature=temperature,
        max_tokens=max_tokens,
        stop=CONTINUE_HERE,
    )
    markers = (ANSWER_SENTENCE,)
    return [
        _rationale(
            question,
            reply,
            reasoning_of(reply.rationale),
            answer_type.extract(reply.text, options=question.options, markers=markers),
        )
        for reply in replies
    ]


def _rationale(
    question: Question, reply: Completion, text: str, answer: str | None, *more: Completion
) -> Rationale:
    """`extra` says "cut" where the model was stopped by the length limit: the filter `length` can drop those."""
    keys = tuple(completion.key for completion in (reply, *more))
    cut = {"cut": True} if reply.finish_reason == "length" else {}
    return Rationale(question.id, text, answer, reply.sample_index, keys=keys, extra=cut)

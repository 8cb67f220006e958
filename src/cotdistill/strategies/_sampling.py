"""Several independent solutions of one question: what voting and pass@k share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.contracts import Ask, Solve
from cotdistill.errors import QuestionFailed
from cotdistill.prompting.base import gather_partial
from cotdistill.records import Answer, Completion, Prompt, Question


@dataclass(frozen=True)
class Chain:
    """One solution and the mean probability of its sampled tokens (1 where no model reports it)."""

    answer: Answer
    confidence: float


async def sampled_chains(
    solve: Solve, question: Question, ask: Ask, *, count: int, temperature: float, top_p: float
) -> list[Chain]:
    """Return `count` solutions; one that fails for good is a solution without an answer.

    In solution i every ask draws sample i, so that each is independent of how many are drawn. An
    ask that sets its own temperature keeps it: the second call of zero-shot CoT only reads the
    answer off and stays greedy (Ho et al. 2023, section 3.2).
    """

    async def chain(index: int) -> Chain:
        drawn: list[Completion] = []

        async def sampled(prompt: Prompt, **settings: Any) -> list[Completion]:
            if "temperature" in settings:
                return await ask(prompt, **settings)
            first = settings.get("first_sample", 0) + index * settings.get("samples", 1)
            own = {"first_sample": first, "temperature": temperature, "top_p": top_p}
            completions = await ask(prompt, **settings | own)
            drawn.extend(completions)
            return completions

        return Chain(await solve(question, sampled), _confidence(drawn))

    return [
        Chain(Answer(question.id, None, f"[failed: {one.reason}] {one}"), 0.0)
        if isinstance(one, QuestionFailed)
        else one
        for one in await gather_partial(chain(index) for index in range(count))
    ]


def answer_of(chains: Sequence[Chain], chosen: int) -> Answer:
    """Return the answer of the chosen solution, with the votes and the tokens of all."""
    answers = [chain.answer for chain in chains]
    return Answer(
        question_id=answers[chosen].question_id,
        answer=answers[chosen].answer,
        text=answers[chosen].text,
        trace=answers[chosen].trace,
        votes=tuple(one.answer for one in answers),
        prompt_tokens=sum(one.prompt_tokens for one in answers),
        completion_tokens=sum(one.completion_tokens for one in answers),
        guide_tokens=sum(one.guide_tokens for one in answers),
    )


def _confidence(completions: Sequence[Completion]) -> float:
    known = [(c.logprob, max(c.completion_tokens, 1)) for c in completions if c.logprob is not None]
    tokens = sum(count for _, count in known)
    return math.exp(sum(logprob * count for logprob, count in known) / tokens) if tokens else 1.0

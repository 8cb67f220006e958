"""Several independent solutions of one question: what voting and pass@k share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.contracts import Ask, Solve
from cotdistill.errors import QuestionFailed
from cotdistill.prompting.parts import ANSWER_TRIGGER
from cotdistill.prompting.transcript import settled
from cotdistill.records import Answer, Completion, Prompt, Question

__all__ = ["Chain", "all_of", "sampled_chains"]


@dataclass(frozen=True)
class Chain:
    """One solution and the mean probability per token of what was sampled for it (1 where no model reports it)."""

    answer: Answer
    confidence: float


async def sampled_chains(
    solve: Solve, question: Question, ask: Ask, *, count: int, temperature: float, top_p: float
) -> list[Chain]:
    """`count` solutions; in solution i every ask draws sample i, so each is independent of how many are drawn.

    One that fails for good is a solution without an answer.

    The second call of zero-shot CoT only reads the answer off, so it stays greedy (Ho et al. 2023, section 3.2).
    """

    async def chain(index: int) -> Chain:
        drawn: list[Completion] = []

        async def sampled(prompt: Prompt, **settings: Any) -> list[Completion]:
            if isinstance(prompt, str) and prompt.endswith(ANSWER_TRIGGER):
                return await ask(prompt, **settings)
            first = settings.pop("first_sample", 0) + index * settings.get("samples", 1)
            settings |= {"first_sample": first, "temperature": temperature, "top_p": top_p}
            completions = await ask(prompt, **settings)
            drawn.extend(completions)
            return completions

        return Chain(await solve(question, sampled), _confidence(drawn))

    return [
        Chain(Answer(question.id, None, f"[failed: {one.reason}] {one}"), 0.0)
        if isinstance(one, QuestionFailed)
        else one
        for one in await settled(chain(index) for index in range(count))
    ]


def all_of(chains: Sequence[Chain], chosen: int) -> dict[str, Any]:
    """What the answer to a question says of all its chains: text and trace of the chosen one, votes and tokens of all."""
    return {
        "text": chains[chosen].answer.text,
        "trace": chains[chosen].answer.trace,
        "votes": tuple(chain.answer.answer for chain in chains),
        "prompt_tokens": sum(chain.answer.prompt_tokens for chain in chains),
        "completion_tokens": sum(chain.answer.completion_tokens for chain in chains),
        "guide_tokens": sum(chain.answer.guide_tokens for chain in chains),
    }


def _confidence(completions: Sequence[Completion]) -> float:
    known = [(c.logprob, max(c.completion_tokens, 1)) for c in completions if c.logprob is not None]
    tokens = sum(count for _, count in known)
    return math.exp(sum(logprob * count for logprob, count in known) / tokens) if tokens else 1.0

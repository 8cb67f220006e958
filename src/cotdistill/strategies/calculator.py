"""A calculator for the model's equations (Cobbe et al. 2021; Magister et al. 2023, section 4).

    decode   local engines complete an opened equation ("3 * 4 =", "<<3*4=") while the model writes,
             in the batch; what no local engine decoded is handled as in `resume`
    resume   the completion is cut at its first wrong result, the right one is written there, and
             the model continues from it

What is no plain arithmetic is not touched, nor is a prefill, such as a guide's step. A calculator
that only corrects finished text changes nothing that was derived from it, so there is none here.
"""

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy, TokenRule
from cotdistill.prompting.base import single
from cotdistill.records import Answer, Completion, Prompt, Question
from cotdistill.text import arithmetic


class CompletesEquations:
    """The rule of `decode`: writes the result of an equation that has just been opened."""

    ends = ("=", "= ")

    def forced(self, text: str) -> str | None:
        if text.endswith("= "):
            return (arithmetic.completion(text[:-1]) or "").lstrip() or None
        return arithmetic.completion(text)


class Calculator(Strategy):
    """The results of the model's equations are computed, not guessed."""

    mode: Literal["decode", "resume"] = Field(
        default="decode", description="correct results while decoding, or in finished text"
    )

    @property
    def rules(self) -> tuple[TokenRule, ...]:
        return (CompletesEquations(),) if self.mode == "decode" else ()

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        async def calculated(prompt: Prompt, **settings: Any) -> list[Completion]:
            completions = await ask(prompt, **settings)
            return [await _resumed(one, ask, prompt, settings) for one in completions]

        return await solve(question, calculated)


async def _resumed(
    completion: Completion, ask: Ask, prompt: Prompt, settings: dict[str, Any]
) -> Completion:
    """Replace every wrong result and let the model write anew what follows it."""
    limit, prefill = settings.get("max_tokens", 256), settings.get("prefill", "")
    while (right := arithmetic.repaired(completion.text, len(prefill))) is not None:
        # A model that adds digits to a right result would do so for ever: end the sentence there.
        prefill = f"{right}." if right == prefill else right
        room = limit - completion.completion_tokens
        if room < 1:
            return replace(completion, text=prefill, finish_reason="length")
        index = completion.sample_index
        again = {"prefill": prefill, "max_tokens": room, "samples": 1, "first_sample": index}
        more = await single(ask, prompt, **settings | again)
        completion = replace(
            more,
            prompt_tokens=completion.prompt_tokens + more.prompt_tokens,
            completion_tokens=completion.completion_tokens + more.completion_tokens,
            sample_index=index,
        )
    return completion

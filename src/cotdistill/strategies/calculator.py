"""A calculator for the model's equations (Cobbe et al. 2021; "with calculator" in Magister et al. 2023, section 4).

    decode     local engines complete an opened equation ("3 * 4 =", "<<3*4=") while the model writes, in the batch; whatever
               an engine let pass, or a model elsewhere wrote, is put right as in `resume`
    resume     the completion is cut at its first wrong result, the right one is put there, and the model goes on from it
    post_hoc   the finished text is corrected, and the right results are carried to where the wrong ones are used; a method that
               asks again (Socratic CoT) goes on from the corrected text

Numbers of the question are left alone by `post_hoc`. Equations that are no plain arithmetic are not touched, nor is what the
completion was given to begin with, such as a guide's step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy, TokenRule
from cotdistill.prompting.transcript import one
from cotdistill.records import Answer, Completion, Prompt, Question
from cotdistill.text import arithmetic

__all__ = ["Calculator", "CompletesEquations"]


class CompletesEquations:
    """The rule of `decode`: writes the result of an equation that has just been opened."""

    ends = ("=", "= ")

    def forced(self, text: str) -> str | None:
        if text.endswith("="):
            return arithmetic.completion(text)
        if text.endswith("= "):
            return (arithmetic.completion(text[:-1]) or "").lstrip() or None
        return None


class Calculator(Strategy):
    """The results of the model's equations are computed, not guessed."""

    mode: Literal["decode", "resume", "post_hoc"] = Field(
        default="decode", description="when results are put right"
    )

    @property
    def rules(self) -> tuple[TokenRule, ...]:
        return (CompletesEquations(),) if self.mode == "decode" else ()

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        async def calculated(prompt: Prompt, **settings: Any) -> list[Completion]:
            completions = await ask(prompt, **settings)
            if self.mode == "post_hoc":
                given = arithmetic.numbers(question.text) | arithmetic.numbers(question.context)
                start = len(settings.get("prefill", ""))
                return [
                    replace(one, text=arithmetic.corrected(one.text, given, start))
                    for one in completions
                ]
            return [await _resumed(one, ask, prompt, settings) for one in completions]

        return await solve(question, calculated)


async def _resumed(
    completion: Completion, ask: Ask, prompt: Prompt, settings: dict[str, Any]
) -> Completion:
    """The completion with every wrong result replaced and everything after it written anew."""
    limit = settings.get("max_tokens", 256)
    prefill = settings.get("prefill", "")
    while (right := arithmetic.repaired(completion.text, len(prefill))) is not None:
        room = limit - completion.completion_tokens
        if right == prefill:  # the model adds digits to a right result: end the sentence there
            right += "."
        prefill = right
        if room < 1:
            return replace(completion, text=prefill, finish_reason="length")
        again = settings | {
            "prefill": prefill,
            "max_tokens": room,
            "samples": 1,
            "first_sample": completion.sample_index,
        }
        more = await one(ask, prompt, **again)
        completion = replace(
            more,
            prompt_tokens=completion.prompt_tokens + more.prompt_tokens,
            completion_tokens=completion.completion_tokens + more.completion_tokens,
            sample_index=completion.sample_index,
        )
    return completion

"""Right rationales preferred over wrong ones: direct preference optimisation after fine-tuning.

The loss is that of Rafailov et al. (NeurIPS 2023, arXiv 2305.18290). Pairs of a right and a wrong
rationale of the same question, told apart by their answers, and the added likelihood of the right
one are from iterative reasoning preference optimisation, Pang et al. (NeurIPS 2024, arXiv
2404.19733, section 2). There the model writes the pairs itself, in several iterations; here the
teacher does, once: the wrong ones are those that the filter `answer_match` drops.

Round 0 is Fine-tune-CoT on the right rationales. Round 1 trains that student further, on the
questions that have both.

    "Ana has 3 apples …" -> "3 + 8 = 11. --> 11" rather than "3 + 8 = 12. --> 12"
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.records import Example, Question, Rationale


class Preference(FineTuneCot):
    """Student tuned on right rationales, then to prefer them over wrong ones (DPO)."""

    samples: int = Field(default=8, ge=1, description="rationales asked per question (D)")
    beta: float = Field(
        default=0.1, gt=0, description="how dearly distance from round 0's student is paid"
    )
    alpha: float = Field(
        default=1.0, ge=0, description="weight of the right rationale's own loss; 0 is plain DPO"
    )

    @property
    def rounds(self) -> tuple[tuple[str, ...], ...]:
        return (self.roles, self.roles)

    def objective(self, round: int) -> str | dict[str, Any]:
        if round == 0:
            return super().objective(round)
        return {"name": "dpo", "beta": self.beta, "alpha": self.alpha}

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        drawn = await super().annotate(question, ask, answer_type)
        wrong = [
            one.to_json()
            for one in drawn
            if one.answer is not None and not answer_type.same(one.answer, question.answer)
        ]
        rejected = itertools.cycle(wrong)
        return [
            replace(one, extra={**one.extra, "rejected": next(rejected)})
            if wrong and answer_type.same(one.answer, question.answer)
            else one
            for one in drawn
        ]

    async def revise(
        self,
        question: Question,
        rationales: Sequence[Rationale],
        ask: Ask,
        answer_type: AnswerType,
        round: int,
    ) -> list[Rationale]:
        return [one for one in rationales if "rejected" in one.extra]

    def examples(self, question: Question, rationale: Rationale) -> Iterable[Example]:
        rejected = rationale.extra.get("rejected")
        for example in super().examples(question, rationale):
            if rejected is None:
                yield example
                continue
            wrong = Rationale.from_json(rejected)
            claimed = replace(question, answer=wrong.answer)
            (other,) = super().examples(claimed, wrong)
            yield replace(example, extra={"rejected": other.target})

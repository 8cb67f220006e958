"""pass@k: could the model solve it at all? A bound on capability, not an answer a user gets: gold chooses the solution.

The answer is right where any of k sampled solutions is. `votes` keep all of them: `stages.evaluate.sampled` makes the whole curve
of pass@j, j ≤ k, of them, without bias (Chen et al. 2021, arXiv 2107.03374, section 2.1).
"""

from __future__ import annotations

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy
from cotdistill.records import Answer, Question
from cotdistill.strategies._sampling import all_of, sampled_chains

__all__ = ["PassAtK"]


class PassAtK(Strategy):
    """Right where any of k sampled solutions is: a bound that looks at the gold answer."""

    k: int = Field(default=8, ge=1, description="solutions sampled per question")
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        chains = await sampled_chains(
            solve, question, ask, count=self.k, temperature=self.temperature, top_p=self.top_p
        )
        answered = [place for place, chain in enumerate(chains) if chain.answer.answer is not None]
        right = [
            place
            for place in answered
            if answer_type.same(chains[place].answer.answer, question.answer)
        ]
        chosen = next(iter(right or answered), 0)
        return Answer(question.id, chains[chosen].answer.answer, **all_of(chains, chosen))

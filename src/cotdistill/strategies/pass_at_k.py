"""pass@k: could the model solve it at all? A bound on capability, not an answer a user gets, since
gold chooses the solution.

The answer is right where any of k sampled solutions is. `votes` keep all of them.
"""

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy
from cotdistill.records import Answer, Question
from cotdistill.strategies._sampling import answer_of, sampled_chains


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
        right = (p for p in answered if answer_type.same(chains[p].answer.answer, question.answer))
        return answer_of(chains, next(right, next(iter(answered), 0)))

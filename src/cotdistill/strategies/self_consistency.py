"""Self-consistency: Wang et al. (ICLR 2023, arXiv 2203.11171). Several sampled solutions vote.

`plain` counts one vote each; `weighted` counts each by the mean probability of its tokens (section
2, normalised). A solution without an answer has no vote; of answers with equal votes the one
reached first wins.
"""

from typing import Literal

from pydantic import Field

from cotdistill.contracts import AnswerType, Ask, Solve, Strategy
from cotdistill.records import Answer, Question
from cotdistill.strategies._sampling import Chain, answer_of, sampled_chains


class SelfConsistency(Strategy):
    """The majority answer of n sampled solutions (Wang et al. 2023)."""

    n: int = Field(default=8, ge=1, description="solutions sampled per question")
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    vote: Literal["plain", "weighted"] = Field(default="plain", description="how a solution counts")

    async def run(
        self, solve: Solve, question: Question, ask: Ask, answer_type: AnswerType
    ) -> Answer:
        chains = await sampled_chains(
            solve, question, ask, count=self.n, temperature=self.temperature, top_p=self.top_p
        )
        return answer_of(chains, self._winner(chains, answer_type))

    def _winner(self, chains: list[Chain], answer_type: AnswerType) -> int:
        """Return the first chain of the answer with most votes; the very first without answers."""
        votes: dict[int, float] = {}
        for place, chain in enumerate(chains):
            answer = chain.answer.answer
            if answer is None:
                continue
            same = (p for p in votes if answer_type.same(answer, chains[p].answer.answer))
            first = next(same, place)
            weight = chain.confidence if self.vote == "weighted" else 1.0
            votes[first] = votes.get(first, 0.0) + weight
        return max(votes, key=lambda place: (votes[place], -place), default=0)

"""Keeps the rationales that reach the answer most samples of their question reach: for questions
without a gold answer, whose rationales nothing else can judge.

The vote is that of self-consistency (Wang et al. 2023, arXiv 2203.11171), used to choose training
data as in Huang et al. (EMNLP 2023, arXiv 2210.11610). The majority can be wrong: what is kept is
agreed upon, not correct. The gold answer is not looked at. The candidates of a question must stand
together, as every stage passes them.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from pydantic import Field

from cotdistill.contracts import AnswerType, Filter
from cotdistill.records import Question, Rationale


class MajorityOfSamples(Filter):
    """Drops rationales that do not reach the majority answer of their question's samples."""

    agreement: float = Field(default=0.5, ge=0, le=1)
    """Share of all samples of a question, those without an answer too, that must agree: more than
    this."""

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for _, group in groupby(candidates, lambda pair: pair[0].id):
            pairs = list(group)
            rationales = [rationale for _, rationale in pairs]
            for (question, rationale), reason in zip(
                pairs, self._reasons(rationales, answer_type), strict=True
            ):
                yield question, rationale, reason

    def _reasons(
        self, rationales: Sequence[Rationale], answer_type: AnswerType
    ) -> Iterator[str | None]:
        votes = [
            [one for one in rationales if answer_type.same(one.answer, rationale.answer)]
            for rationale in rationales
        ]
        most = max(map(len, votes))
        tied = sum(len(same) == most for same in votes) > most
        for rationale, same in zip(rationales, votes, strict=True):
            if rationale.answer is None:
                yield "no answer"
            elif len(rationales) < 2:
                yield "one sample is no majority"
            elif tied or most <= self.agreement * len(rationales):
                yield "no majority"
            else:
                yield None if len(same) == most else "not the majority answer"

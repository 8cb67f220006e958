"""Keeps rationales of a sensible length in words.

The limits of 128, 512 and 2048 tokens of Ho et al. 2023, section 4.3, are the teacher's
`max_tokens`; this filter is for what came back, and `truncated` for what was cut off there.
"""

from collections.abc import Iterable, Iterator
from typing import Self

from pydantic import Field, model_validator

from cotdistill.contracts import AnswerType, Filter
from cotdistill.records import Question, Rationale


class Length(Filter):
    """Drops rationales that are too short or too long."""

    minimum: int = Field(default=1, ge=0, description="fewest words")
    maximum: int = Field(default=512, ge=1, description="most words")

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.maximum < self.minimum:
            raise ValueError(f"maximum ({self.maximum}) is below minimum ({self.minimum})")
        return self

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for question, rationale in candidates:
            words = len(rationale.text.split())
            reason = "too short" if words < self.minimum else None
            reason = "too long" if words > self.maximum else reason
            # Answer-only tuning has no rationale to measure.
            yield question, rationale, None if rationale.source == "none" else reason

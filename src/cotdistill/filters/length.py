"""Keeps rationales of a sensible length, in words, and drops those the teacher's length limit cut
off.

The paper's limits of 128, 512 and 2048 tokens (Ho et al. 2023, section 4.3) are the teacher's
`max_tokens`; this filter is for what came back. A rationale cut off may still lead to the right
answer, so `cut` keeps it by default, as the paper does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from cotdistill.contracts import AnswerType, Filter
from cotdistill.records import Question, Rationale

__all__ = ["Length"]


class Length(Filter):
    """Drops rationales that are too short, too long or cut off."""

    minimum: int = Field(default=1, ge=0, description="fewest words")
    maximum: int = Field(default=512, ge=1, description="most words")
    cut: Literal["keep", "drop"] = Field(
        default="keep", description="rationales that the length limit cut off"
    )

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.maximum < self.minimum:
            raise ValueError(f"maximum ({self.maximum}) is below minimum ({self.minimum})")
        return self

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for question, rationale in candidates:
            yield question, rationale, self._reason(rationale)

    def _reason(self, rationale: Rationale) -> str | None:
        if rationale.source == "none":  # answer-only tuning has no rationale to measure
            return None
        words = len(rationale.text.split())
        if words < self.minimum:
            return "too short"
        if words > self.maximum:
            return "too long"
        return "cut off" if self.cut == "drop" and rationale.extra.get("cut") else None

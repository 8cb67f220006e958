"""Tuning on the answer alone: the baseline of every paper here, and it needs no teacher.

Below a billion parameters it beats Fine-tune-CoT with one rationale a question on most arithmetic
sets (Ho et al. 2023, table 1), so its row stands in every table.

    "Ana has 3 apples and buys 8 more. How many has she?" -> "11"
"""

from typing import ClassVar

from pydantic import Field

from cotdistill.prompting.base import SingleStudent
from cotdistill.records import Question, Rationale


class AnswerOnly(SingleStudent):
    """Student tuned on question → answer, without any reasoning (the baseline)."""

    marker: ClassVar[str] = ""

    student_max_tokens: int = Field(default=32, ge=1, description="tokens the student may write")

    def target(self, question: Question, rationale: Rationale) -> str:
        return question.gold

"""Socratic CoT with one student (Shridhar et al. 2023, arXiv 2212.00193, section 3.2, "unified").

The student writes sub-questions and solutions in one reply; `socratic_cot` has the two that take
turns, the teacher's prompt and the gold steps.

    "Ana has 3 apples and buys 8 more. How many has she?" ->
    "How many does Ana buy? ** She buys 8. | How many has she then? ** 3 + 8 = 11. | #### 11"
"""

from typing import ClassVar

from pydantic import Field

from cotdistill.methods.socratic_cot import SocraticMethod
from cotdistill.prompting.base import SingleStudent
from cotdistill.prompting.socratic import SOCRATIC_END, pair
from cotdistill.records import Question, Rationale


class SocraticUnified(SingleStudent, SocraticMethod):
    """One student that asks sub-questions and solves them in one reply (Shridhar et al. 2023)."""

    marker: ClassVar[str] = SOCRATIC_END

    student_max_tokens: int = Field(default=384, ge=1, description="tokens the student may write")

    def target(self, question: Question, rationale: Rationale) -> str:
        return " | ".join([*map(pair, rationale.steps), f"{SOCRATIC_END} {question.gold}"])

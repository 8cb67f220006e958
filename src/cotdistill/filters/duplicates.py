"""Drops a rationale that says what an earlier one of the same question says: by its text, or by its
equations.

At equation level two rationales with the same equations in the same order are one, whatever their
words, as in rejection-sampling fine-tuning (Yuan et al. 2023, section 3.3). A rationale without an
equation is compared by text. The candidates of a question must stand together, as every stage
passes them: only one question is remembered.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from cotdistill.contracts import AnswerType, Filter
from cotdistill.records import Question, Rationale
from cotdistill.text.arithmetic import equations_key


class Duplicates(Filter):
    """Drops repeated rationales of one question, by text or by equations."""

    level: Literal["text", "equations"] = Field(
        default="text", description="what makes two rationales the same"
    )

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        current, seen = "", set[str]()
        for question, rationale in candidates:
            if question.id != current:
                current, seen = question.id, set()
            key = self._key(rationale.text)
            yield question, rationale, f"same {self.level}" if key in seen else None
            seen.add(key)

    def _key(self, text: str) -> str:
        shape = equations_key(text) if self.level == "equations" else ""
        return shape or " ".join(text.casefold().split())

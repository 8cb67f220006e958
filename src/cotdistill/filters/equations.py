"""Drops a rationale with an equation that does not hold: a right answer may be reached for a wrong
reason.

What is no plain arithmetic (powers, variables) is not judged. `require` also drops rationales
without any equation.
"""

from collections.abc import Iterable, Iterator

from pydantic import Field

from cotdistill.contracts import AnswerType, Filter
from cotdistill.records import Question, Rationale
from cotdistill.text.arithmetic import find_equations


class Equations(Filter):
    """Drops rationales in which a written equation does not hold."""

    require: bool = Field(default=False, description="drop rationales without an equation as well")

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for question, rationale in candidates:
            yield question, rationale, self._reason(rationale)

    def _reason(self, rationale: Rationale) -> str | None:
        equations = find_equations(rationale.text)
        if not equations:
            return "no equation" if self.require and rationale.source != "none" else None
        return None if all(equation.holds for equation in equations) else "wrong equation"

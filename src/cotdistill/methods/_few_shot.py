"""What methods with worked exemplars in a prompt have in common: how many, drawn by which seed, and the exemplars themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from cotdistill.contracts import Method
from cotdistill.prompting.exemplars import exemplars_besides
from cotdistill.prompting.transcript import with_rationales
from cotdistill.records import Question

__all__ = ["FewShotMethod"]


class FewShotMethod(Method):
    """A method whose prompts show exemplars with rationales."""

    shots: int = Field(default=8, ge=0, description="exemplars in the prompt")
    exemplar_seed: int = Field(default=0, description="seed of their draw from the training split")
    exemplars: tuple[Question, ...] = Field(
        default=(), description="filled by the run; leave it out of a recipe"
    )

    @property
    def exemplar_count(self) -> int:
        return self.shots

    @property
    def exemplar_draw(self) -> int:
        return self.exemplar_seed

    def with_exemplars(self, exemplars: Sequence[Question]) -> Self:
        return self.model_copy(update={"exemplars": with_rationales(exemplars)})

    def exemplars_for(self, question: Question) -> tuple[Question, ...]:
        """The exemplars a training question is annotated with: one fewer where it is one of them, so as not to copy itself."""
        return exemplars_besides(question, self.exemplars)

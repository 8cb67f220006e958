"""The bundled teacher of the lab: a small language model that writes varied rationales and makes real mistakes.

It goes through the very code a 70B teacher on this machine goes through (`teachers/transformers.py`).
"""

from __future__ import annotations

from pydantic import Field

from cotdistill.contracts import Model, Teacher
from cotdistill.errors import UserError
from cotdistill.model.batcher import BatchedModel

__all__ = ["LabTeacher"]


class LabTeacher(Teacher):
    """The bundled small teacher for the lab's generated tasks: needs no key, no network, no GPU."""

    batch_size: int = Field(128, ge=1)

    def open(self) -> Model:
        """Loads the bundled weights.

        Raises:
            UserError: the package was installed without them.
        """
        from cotdistill.engines.transformers import TransformersEngine
        from cotdistill.lab import teacher_path

        folder = teacher_path()
        if not (folder / "model.safetensors").exists():
            raise UserError(
                f"{folder}: the lab's weights are missing; install the package again, or train them (docs/lab.md)"
            )
        engine = TransformersEngine(batch_size=self.batch_size)
        return BatchedModel(engine.load(folder, target_begin=" "))

"""A teacher on this machine: any causal or encoder-decoder checkpoint, asked in batches.

    teacher: {name: transformers, model: Qwen/Qwen2.5-7B-Instruct, chat: true}

A plain (not chat) causal teacher reads the prompt as it is and its completion's first space is not part of the text, so
that prompts written for an endpoint work unchanged.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cotdistill.contracts import Model, Teacher
from cotdistill.model.batcher import BatchedModel

__all__ = ["TransformersTeacher"]


class TransformersTeacher(Teacher):
    """A Hugging Face checkpoint on this machine: a folder or hub id, causal or encoder-decoder.

    `chat` puts plain prompts through the tokenizer's chat template.
    """

    model: str
    chat: bool = False
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: int = Field(128, ge=1)
    max_batch_tokens: int = Field(65_536, ge=1)

    def open(self) -> Model:
        """Loads the checkpoint.

        Raises:
            UserError: no usable checkpoint there.
        """
        from cotdistill.engines.transformers import TransformersEngine

        engine = TransformersEngine(**self.model_dump(exclude={"model"}))
        return BatchedModel(engine.load(self.model, target_begin="" if self.chat else " "))

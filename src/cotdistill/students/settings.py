"""Settings of a student and of its training, as they stand in a recipe. Light: nothing here imports torch.

student: {model: google/flan-t5-small}
student: {model: Qwen/Qwen2.5-0.5B, lora: {r: 16}}
student: {config: {model_type: t5, d_model: 512}, tokenizer: path/to/spiece.model}
train: {epochs: 20, batch_size: 8, learning_rate: 3.0e-4}
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cotdistill.contracts import Operational

__all__ = ["LoraSettings", "StudentSettings", "TrainSettings"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoraSettings(_Settings):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) in place of full tuning; needs the extra `lora` (peft)."""

    r: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"


class StudentSettings(_Settings):
    """Which model learns, and the format its prompts and targets are written in.

    `model` is "lab" (the bundled base), a checkpoint folder or a hub id. In its place `config` (a config.json, its folder,
    or a mapping with `model_type`) and `tokenizer` (a folder, hub id, or SentencePiece .model file) make a randomly
    initialised model. The format "auto" is that of Fine-tune-CoT (Ho et al. 2023): a decoder-only model reads
    `{prompt} ###` and writes ` {target}`, an encoder-decoder reads `{prompt}` and writes `{target}`; "chat" goes
    through the tokenizer's chat template. `prompt_end` and `target_begin` replace those of "auto".
    """

    model: str | None = "lab"
    config: str | dict[str, Any] | None = None
    tokenizer: str | None = None
    format: Literal["auto", "chat"] = "auto"
    prompt_end: str | None = None
    target_begin: str | None = None
    lora: LoraSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _config_replaces_the_default_model(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("config") is not None and "model" not in data:
            return {**data, "model": None}
        return data

    @model_validator(mode="after")
    def _one_source(self) -> StudentSettings:
        if (self.model is None) == (self.config is None):
            raise ValueError(
                "give either `model` (a checkpoint) or `config` (a new model), not both"
            )
        if self.config is not None and self.tokenizer is None:
            raise ValueError("a new model made from `config` needs a `tokenizer`")
        return self


class TrainSettings(_Settings):
    """How a student is trained. The defaults are those of Fine-tune-CoT (Ho et al. 2023) for pretrained checkpoints."""

    epochs: int = Field(20, ge=1)
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimizer steps, whatever `epochs` says."""
    batch_size: int = Field(8, ge=1)
    gradient_accumulation: int = Field(1, ge=1)
    learning_rate: float = Field(3e-4, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = Field(0.0, ge=0)
    """Steps of linear warm-up, or below 1 the share of all steps."""
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    max_prompt_tokens: int = Field(512, ge=1)
    """Examples with a longer prompt are left out and counted: a question is never cut."""
    max_target_tokens: int = Field(512, ge=1)
    """A longer target is cut (and then has no end token) and counted."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16 is mixed precision; auto takes it on accelerators that have it."""
    selection: Literal["accuracy", "loss", "last", "oracle_test"] = "accuracy"
    """Which epoch is kept: by validation accuracy, by the loss on validation examples, or the last.

    "oracle_test" selects on the test split, as published tables did; every table names it, and no other use is honest.
    """
    share_prompts: bool = True
    """Compute a prompt once for all its targets in the same batch."""
    pack: int | None = Field(None, ge=1)
    """Examples of one question to keep together in a batch; by default `batch_size` / 16, so that a batch holds 16 questions.
    More is faster and learns less per epoch (docs/students.md)."""
    gradient_checkpointing: bool = False
    save_minutes: Annotated[float, Operational()] = Field(10.0, gt=0)
    """Besides each epoch's end, a checkpoint to resume from is written this often."""
    report_to: Annotated[tuple[str, ...], Operational()] = ()
    """Trackers of the transformers Trainer: tensorboard, wandb, trackio, ..."""

    def steps(self, examples: int) -> int:
        """Optimizer steps that so many examples take on one process."""
        batches = math.ceil(examples / self.batch_size)
        return self.max_steps or math.ceil(batches / self.gradient_accumulation) * self.epochs

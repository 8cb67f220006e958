"""The settings of a transformers student."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cotdistill.contracts import Student


class LoraSettings(BaseModel):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) in place of full tuning.

    They need the extra `lora` (peft).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"


class TransformersSettings(Student):
    """Settings of `TransformersStudent`."""

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
    def _one_source(self) -> TransformersSettings:
        if (self.model is None) == (self.config is None):
            raise ValueError(
                "give either `model` (a checkpoint) or `config` (a new model), not both"
            )
        if self.config is not None and self.tokenizer is None:
            raise ValueError("a new model made from `config` needs a `tokenizer`")
        return self

    @property
    def checkpoint(self) -> str | Path | None:
        return self.model

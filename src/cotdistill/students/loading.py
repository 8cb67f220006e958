"""From a student's settings to a model: pretrained or random, with its tokenizer and its prompt format."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotdistill.checkpoints.text import TextCodec
from cotdistill.contracts import Engine, EnginePlugin
from cotdistill.engines.transformers import ModelEngine, TransformersEngine
from cotdistill.errors import UserError
from cotdistill.students.settings import StudentSettings

if TYPE_CHECKING:
    import torch

__all__ = ["build_base", "codec_for", "engine_over", "load_base", "load_student"]

DECODER_FORMAT = (" ###", " ")
"""Prompt end and target begin of a decoder-only student (Fine-tune-CoT, Ho et al. 2023, appendix)."""


def codec_for(student: StudentSettings, tokenizer: Any, *, encoder_decoder: bool) -> TextCodec:
    """The tokenizer with the student's format."""
    end, begin = _format(student, encoder_decoder=encoder_decoder)
    return TextCodec(
        tokenizer, end, begin, chat=student.format == "chat", encoder_decoder=encoder_decoder
    )


def load_student(engine: EnginePlugin, student: StudentSettings, checkpoint: Path) -> Engine:
    """A trained checkpoint behind an engine, asked in the format it was trained in."""
    return _load(engine, student, checkpoint)


def load_base(engine: EnginePlugin, student: StudentSettings, seed: int = 0) -> Engine:
    """The student before any training behind an engine."""
    if student.model is not None:
        return _load(engine, student, student.model)
    model, tokenizer = build_base(student, seed)
    with tempfile.TemporaryDirectory() as folder:  # every engine loads from there
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return _load(engine, student, folder)


def engine_over(model: Any, codec: TextCodec) -> ModelEngine:
    """An engine over a model in memory: in training."""
    settings = TransformersEngine()
    return ModelEngine(
        model.eval(),
        codec,
        identity={"engine": "transformers", "checkpoint": "in memory"},
        batch_size=settings.batch_size,
        max_batch_tokens=settings.max_batch_tokens,
    )


def build_base(
    student: StudentSettings, seed: int, dtype: torch.dtype | None = None
) -> tuple[Any, Any]:
    """The model to train (on the CPU, float32 unless `dtype` says otherwise) and its tokenizer.

    Raises:
        UserError: checkpoint, config or tokenizer cannot be used; the message says why.
    """
    import torch
    import transformers

    from cotdistill.checkpoints.loading import load_checkpoint

    if student.model is not None:
        return load_checkpoint(student.model, dtype or torch.float32)
    assert student.tokenizer is not None
    config = _config(student.config)
    tokenizer = _new_tokenizer(student.tokenizer, config)
    torch.manual_seed(seed)
    family: Any = (
        transformers.AutoModelForSeq2SeqLM
        if config.is_encoder_decoder
        else transformers.AutoModelForCausalLM
    )
    if config.vocab_size < len(tokenizer):
        raise UserError(
            f"student config: vocab_size {config.vocab_size} is below the tokenizer's {len(tokenizer)} tokens"
        )
    model = family.from_config(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model, tokenizer


def _config(config: str | dict[str, Any] | None) -> Any:
    import transformers

    if isinstance(config, dict):
        kind = config.get("model_type")
        known = transformers.CONFIG_MAPPING
        if kind not in known:
            raise UserError(
                f"student config: model_type {kind!r} is unknown to transformers (t5, gpt2, llama, qwen2, ...)"
            )
        return known[kind](**{key: value for key, value in config.items() if key != "model_type"})
    try:
        return transformers.AutoConfig.from_pretrained(config, trust_remote_code=False)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise UserError(f"student config {config}: {str(error).splitlines()[0]}") from error


def _new_tokenizer(place: str, config: Any) -> Any:
    from cotdistill.checkpoints.loading import load_tokenizer

    path = Path(place)
    if path.suffix != ".model":
        return load_tokenizer(place)
    import transformers

    if config.model_type not in ("t5", "mt5", "umt5") or path.name != "spiece.model":
        raise UserError(
            f"tokenizer {place}: a bare SentencePiece file is read for T5 only, under the name spiece.model"
        )
    if not path.is_file():
        raise UserError(f"tokenizer {place}: no such file")
    return transformers.T5Tokenizer.from_pretrained(path.parent)


def _format(student: StudentSettings, *, encoder_decoder: bool) -> tuple[str, str]:
    plain = ("", "") if encoder_decoder or student.format == "chat" else DECODER_FORMAT
    return (
        plain[0] if student.prompt_end is None else student.prompt_end,
        plain[1] if student.target_begin is None else student.target_begin,
    )


def _load(engine: EnginePlugin, student: StudentSettings, checkpoint: str | Path) -> Engine:
    from cotdistill.checkpoints.loading import load_config

    config = load_config(checkpoint)
    end, begin = _format(student, encoder_decoder=config.is_encoder_decoder)
    chat = student.format == "chat"
    return engine.load(checkpoint, prompt_end=end, target_begin=begin, chat=chat)

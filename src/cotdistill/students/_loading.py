"""From a student's settings to a model: pretrained or random, with tokenizer, format and adapters.

What cannot be trained is refused here, before any step is taken.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers

from cotdistill.checkpoints.auto import auto_class
from cotdistill.checkpoints.loading import load_checkpoint, load_config, load_tokenizer
from cotdistill.checkpoints.text import TextCodec, token_count
from cotdistill.contracts import Engine, EnginePlugin, TrainSettings
from cotdistill.errors import MissingExtra, UserError
from cotdistill.students._settings import TransformersSettings

DECODER_FORMAT = (" ###", " ")
"""Prompt end and target begin of a decoder-only student (Ho et al. 2023, appendix)."""


def build_base(
    student: TransformersSettings,
    seed: int = 0,
    *,
    start: Path | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Any, TextCodec]:
    """Return the model to train (on the CPU, float32 unless `dtype` says otherwise) and its codec.

    `start` is a checkpoint in place of the student's own.

    Raises:
        UserError: checkpoint, config or tokenizer cannot be used; the message says why.
    """
    checkpoint, chat = start or student.checkpoint, student.format == "chat"
    if checkpoint is not None:
        if held := getattr(load_config(checkpoint), "quantization_config", None):
            kind = held.get("quant_method") if isinstance(held, dict) else held.quant_method
            raise UserError(
                f"student {student.model}: its weights are quantized ({kind}) and cannot be "
                "trained; take the model's checkpoint in bfloat16 or float32"
            )
        model, tokenizer = load_checkpoint(checkpoint, dtype or torch.float32)
    else:
        model, tokenizer = _random_model(student, seed)
    if chat and tokenizer.chat_template is None:
        raise UserError(
            f"student {student.model}: `format: chat` needs a chat template and its tokenizer has "
            "none; take an instruction-tuned model, or `format: auto`"
        )
    encoder_decoder = bool(model.config.is_encoder_decoder)
    end, begin = _format(student, encoder_decoder=encoder_decoder)
    return model, TextCodec(tokenizer, end, begin, chat, encoder_decoder)


def adapted(model: Any, student: TransformersSettings, settings: TrainSettings) -> Any:
    """Return the model inside the student's adapters, or itself where it has none.

    Raises:
        MissingExtra: LoRA without peft.
        UserError: LoRA on a model in parts, or its target modules are not in the model or are its
            tied embeddings.
    """
    lora = student.lora
    if lora is None:
        return model
    if settings.strategy == "fsdp":
        raise UserError(
            "student `lora`: a model in parts has no adapters; leave out `train.strategy: fsdp` or "
            "`lora`"
        )
    try:
        import peft
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError as error:
        raise MissingExtra("student `lora` needs peft: pip install 'cotdistill[lora]'") from error
    embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
    tied = embeddings[1] is not None and embeddings[0].weight is embeddings[1].weight
    modules = lora.target_modules
    names = modules if isinstance(modules, str) else list(modules)
    task = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
    shape = {"r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
    config = peft.LoraConfig(**shape, target_modules=names, task_type=task)
    try:
        with warnings.catch_warnings():
            # peft reads a property that transformers renamed, and warns of what is refused below.
            warnings.simplefilter("ignore")
            wrapped = peft.get_peft_model(model, config)
    except ValueError as error:
        raise UserError(
            f"student lora.target_modules {modules!r} do not fit {student.model}: "
            f"{str(error).splitlines()[0]}; all-linear fits every model"
        ) from error
    now = (model.get_input_embeddings(), model.get_output_embeddings())
    if tied and any(isinstance(module, BaseTunerLayer) for module in now):
        # Merged, the adapter of one would change the other too.
        raise UserError(
            f"student lora.target_modules {modules!r}: {student.model} has one matrix for input "
            "and output embeddings, and an adapter on it cannot be merged; leave it out, as "
            "all-linear does"
        )
    return wrapped


def load_engine(
    student: TransformersSettings, checkpoint: Path | None, engine: EnginePlugin, seed: int = 0
) -> Engine:
    """Load a checkpoint, or without one the student's base, asked in the student's format."""
    place = checkpoint or student.checkpoint
    if place is None:
        model, codec = build_base(student, seed)
        with tempfile.TemporaryDirectory() as folder:  # every engine loads from there
            model.save_pretrained(folder)
            codec.tokenizer.save_pretrained(folder)
            return load_engine(student, Path(folder), engine)
    end, begin = _format(student, encoder_decoder=load_config(place).is_encoder_decoder)
    chat = student.format == "chat"
    return engine.load(place, prompt_end=end, target_begin=begin, chat=chat)


def _random_model(student: TransformersSettings, seed: int) -> tuple[Any, Any]:
    assert student.tokenizer is not None
    config, place = _config(student.config), Path(student.tokenizer)
    if place.suffix != ".model":
        tokenizer = load_tokenizer(student.tokenizer)
    elif place.is_file():  # transformers reads a bare SentencePiece file for T5 alone
        tokenizer = transformers.T5Tokenizer.from_pretrained(place.parent)
    else:
        raise UserError(f"tokenizer {place}: no such file")
    if config.vocab_size < (tokens := token_count(tokenizer)):
        raise UserError(
            f"student config: vocab_size {config.vocab_size} is below the tokenizer's "
            f"{tokens} tokens"
        )
    torch.manual_seed(seed)
    model = auto_class(config).from_config(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model, tokenizer


def _config(config: str | dict[str, Any] | None) -> Any:
    if not isinstance(config, dict):
        return load_config(config or "")
    try:
        return transformers.AutoConfig.for_model(**config)
    except (TypeError, ValueError) as error:
        raise UserError(f"student config: {str(error).splitlines()[0][:200]}") from error


def _format(student: TransformersSettings, *, encoder_decoder: bool) -> tuple[str, str]:
    plain = encoder_decoder or student.format == "chat"
    end, begin = ("", "") if plain else DECODER_FORMAT
    own_end, own_begin = student.prompt_end, student.target_begin
    return (end if own_end is None else own_end, begin if own_begin is None else own_begin)

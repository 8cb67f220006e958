"""Loading a checkpoint: safetensors only, no code from the checkpoint, one line for everything that can be wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import transformers

from cotdistill.errors import UserError

__all__ = [
    "checkpoint_fingerprint",
    "context_limit",
    "end_ids",
    "load_model",
    "load_tokenizer",
    "pick_device",
    "pick_dtype",
]

transformers.utils.logging.disable_progress_bar()  # a bar per load would cut into the run's own progress

_CONTENT = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.txt")
_NOT_CONTENT = {"training.json", "trainer_state.json"}


def pick_device(setting: str) -> torch.device:
    """The device named, or the first accelerator there is, or the CPU."""
    if setting != "auto":
        return torch.device(setting)
    accelerator = (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    )
    return accelerator or torch.device("cpu")


def pick_dtype(setting: str, device: torch.device) -> torch.dtype:
    """The number format named; "auto" is float32 on a CPU and bfloat16 on an accelerator."""
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return (
        named[setting]
        if setting != "auto"
        else torch.float32
        if device.type == "cpu"
        else torch.bfloat16
    )


def load_tokenizer(checkpoint: str | Path) -> Any:
    """The tokenizer of a checkpoint folder or hub id.

    Raises:
        UserError: nothing usable is there.
    """
    try:
        return transformers.AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(_load_message(checkpoint, "tokenizer", error)) from error


def load_model(
    checkpoint: str | Path, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> Any:
    """The causal or encoder-decoder model of a checkpoint folder or hub id.

    Raises:
        UserError: nothing usable is there; the message says what and the remedy.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint, trust_remote_code=False)
        family: Any = (
            transformers.AutoModelForSeq2SeqLM
            if config.is_encoder_decoder
            else transformers.AutoModelForCausalLM
        )
        model = family.from_pretrained(
            checkpoint, config=config, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(_load_message(checkpoint, "model", error)) from error
    return model.to(device)


def _load_message(checkpoint: str | Path, what: str, error: Exception) -> str:
    folder = Path(checkpoint)
    if folder.is_dir() and what == "model" and not any(folder.glob("*.safetensors")):
        return f"{checkpoint}: no *.safetensors there; convert it with save_pretrained (pickled weights are not read)"
    if not folder.exists() and str(checkpoint).startswith((".", "/", "~")):
        return f"{checkpoint}: no such folder; give a checkpoint folder or a hub id"
    first = str(error).strip().split("\n")[0]
    return f"{checkpoint}: cannot load the {what}: {first}"


def context_limit(model: Any) -> int | None:
    """How many positions the model has, or None where it has no limit (relative positions, as in T5)."""
    config = model.config.get_text_config(decoder=True)
    known = config.to_dict()
    limit = (
        known.get("max_position_embeddings")
        or known.get("n_positions")
        or known.get("max_target_positions")
    )
    return (
        int(limit)
        if limit and config.model_type not in {"t5", "mt5", "umt5", "switch_transformers", "longt5"}
        else None
    )


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a completion: the model's own list and the tokenizer's end token."""
    listed = model.generation_config.eos_token_id if model.generation_config is not None else None
    several = listed if isinstance(listed, list) else [listed]
    return frozenset(
        int(token) for token in (*several, tokenizer.eos_token_id) if token is not None
    )


def checkpoint_fingerprint(checkpoint: str | Path, model: Any) -> str:
    """A hash of a checkpoint's contents: of its files, or for a hub id of the commit that was loaded."""
    folder = Path(checkpoint)
    if not folder.is_dir():
        commit = model.config._commit_hash
        return f"{checkpoint}@{commit}"
    digest = hashlib.sha256()
    files = sorted({path for pattern in _CONTENT for path in folder.glob(pattern)})
    for path in files:
        if path.name in _NOT_CONTENT:
            continue
        with path.open("rb") as file:
            digest.update(
                f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
            )
    return digest.hexdigest()[:32]

"""Load a checkpoint: safetensors only, no code from the checkpoint, one line for everything that
can be wrong.
"""

import logging
from pathlib import Path
from typing import Any

import torch
import transformers

from cotdistill.checkpoints.auto import one_line, whole_model
from cotdistill.checkpoints.bundled import locate, remedy
from cotdistill.checkpoints.hashes import check, content_hash
from cotdistill.errors import UserError

transformers.utils.logging.disable_progress_bar()  # a bar per load would cut into the run's own
# What the hub's client says about each try; what it comes to is one line.
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

_TOKENIZERS = ("tokenizer*", "*.model", "vocab*", "*.tiktoken")
"""Files that a tokenizer is made of, in a checkpoint folder."""


def pick_device(setting: str) -> torch.device:
    """Return the device named, or the first accelerator there is, or the CPU."""
    if setting != "auto":
        return torch.device(setting)
    there = torch.accelerator.is_available()
    return (torch.accelerator.current_accelerator() if there else None) or torch.device("cpu")


def pick_dtype(setting: str, device: torch.device) -> torch.dtype:
    """Return the number format named; "auto" is float32 on a CPU and bfloat16 on an accelerator."""
    auto = torch.float32 if device.type == "cpu" else torch.bfloat16
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return auto if setting == "auto" else named[setting]


def resolve(checkpoint: str | Path) -> str | Path:
    """Return what transformers loads for a checkpoint: a checked folder, or a hub id.

    Args:
        checkpoint: a folder, a GGUF file (converted on first use), a short name (`bundled`) or a
            hub id.

    Raises:
        UserError: nothing usable is there, or its files are damaged.
    """
    place = locate(checkpoint)
    path = Path(place).expanduser()
    if path.suffix == ".gguf" or _is_gguf(path):
        from cotdistill.checkpoints.gguf import from_gguf

        path = from_gguf(path)
    if path.is_dir():
        # transformers would load the model that the adapter names, from the hub.
        if (path / "adapter_config.json").is_file():
            raise UserError(
                f"{checkpoint}: an adapter and no whole model; merge it into its base model "
                "(merge_and_unload of peft), save that with its tokenizer and give its folder"
            )
        check(path)
        return path
    if str(place).startswith((".", "/", "~")):
        raise UserError(
            f"{checkpoint}: no such folder; give a checkpoint folder, a GGUF file or a hub id"
        )
    return place


def _is_gguf(path: Path) -> bool:
    """Return whether a file is GGUF by its first bytes: Ollama's have no suffix."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def load_config(checkpoint: str | Path) -> Any:
    """Return the configuration of a checkpoint.

    Raises:
        UserError: nothing usable is there.
    """
    place = resolve(checkpoint)
    if isinstance(place, Path) and not (place / "config.json").is_file():
        raise UserError(f"{checkpoint}: no checkpoint there (no config.json); correct the path")
    with one_line(f"{checkpoint}: cannot load the configuration", remedy(checkpoint)):
        return transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)


def load_tokenizer(checkpoint: str | Path) -> Any:
    """Return the tokenizer of a checkpoint.

    Raises:
        UserError: nothing usable is there.
    """
    place = resolve(checkpoint)
    if isinstance(place, Path) and not any(any(place.glob(name)) for name in _TOKENIZERS):
        raise UserError(
            f"{checkpoint}: no tokenizer there (tokenizer.json, or a SentencePiece model); "
            "copy its files from where the model is from"
        )
    with one_line(f"{checkpoint}: cannot load the tokenizer", remedy(checkpoint)):
        return transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=False)


def load_model(
    checkpoint: str | Path, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> Any:
    """Return the causal or encoder-decoder model of a checkpoint.

    Raises:
        UserError: nothing usable is there, or weights are damaged or missing; the message says what
            and the remedy.
    """
    place, config = resolve(checkpoint), load_config(checkpoint)
    if isinstance(place, Path) and not any(place.glob("*.safetensors")):
        raise UserError(
            f"{checkpoint}: no *.safetensors there; convert it with save_pretrained "
            "(pickled weights are not read)"
        )
    safe = {"use_safetensors": True, "trust_remote_code": False}
    with one_line(f"{checkpoint}: cannot load the model", remedy(checkpoint)):
        model = whole_model(checkpoint, config, dtype, place, **safe)
    return model.to(device)


def load_checkpoint(
    checkpoint: str | Path, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> tuple[Any, Any]:
    """Return a checkpoint's model and its tokenizer.

    Raises:
        UserError: one of them cannot be used, or the two do not belong together.
    """
    tokenizer = load_tokenizer(checkpoint)
    model = load_model(checkpoint, dtype, device)
    rows, tokens = model.get_input_embeddings().num_embeddings, len(tokenizer)
    if tokens > rows:
        raise UserError(
            f"{checkpoint}: its tokenizer has {tokens} tokens and its model {rows} rows of "
            "embeddings; they belong to different checkpoints (or call resize_token_embeddings and "
            "save the model)"
        )
    return model, tokenizer


def context_limit(config: Any) -> int | None:
    """Return how many positions a model of this configuration has, or None where it has no limit
    (relative positions, as in T5).
    """
    config = config.get_text_config(decoder=True)
    if config.model_type in {"t5", "mt5", "umt5", "switch_transformers", "longt5"}:
        return None
    known, names = config.to_dict(), ("max_position_embeddings", "n_positions")
    return next(
        (int(known[name]) for name in (*names, "max_target_positions") if known.get(name)), None
    )


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return every token that ends a completion: the model's own list and the tokenizer's end
    token.
    """
    listed = model.generation_config.eos_token_id if model.generation_config is not None else None
    several = [*(listed if isinstance(listed, list) else [listed]), tokenizer.eos_token_id]
    return frozenset(int(token) for token in several if token is not None)


def checkpoint_fingerprint(checkpoint: str | Path, config: Any) -> str:
    """Return a hash of a checkpoint's files, or for a hub id the id and the commit that its loaded
    `config` names.
    """
    place = resolve(checkpoint)
    return content_hash(place) if isinstance(place, Path) else f"{place}@{config._commit_hash}"

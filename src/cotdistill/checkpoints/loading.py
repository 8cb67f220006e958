"""Load a checkpoint: safetensors only, no code from the checkpoint, one line for everything that
can be wrong.
"""

import functools
import logging
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from huggingface_hub import constants, get_session, try_to_load_from_cache

from cotdistill.checkpoints import bundled
from cotdistill.checkpoints.auto import PROBE, one_line, warn, whole_model
from cotdistill.checkpoints.hashes import check, content_hash
from cotdistill.checkpoints.text import token_count
from cotdistill.errors import UserError
from cotdistill.util.addresses import is_address

transformers.utils.logging.disable_progress_bar()  # a bar per load would cut into the run's own
# What the hub's client says about each try; what it comes to is one line.
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

_TOKENIZERS = ("tokenizer*", "*.model", "vocab*", "*.tiktoken")
"""Files that a tokenizer is made of, in a checkpoint folder."""
_SPARE_ROWS = 1024
"""Rows of an embedding that may only round its number up."""
_NOT_APPLIED = (
    *("repetition_penalty", "no_repeat_ngram_size", "num_beams", "min_length", "min_new_tokens"),
    *("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "forced_bos_token_id"),
)
"""Settings of a checkpoint's generation that would change what is written greedily."""


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
    place = bundled.locate(checkpoint)
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
    if is_address(str(place)):
        raise UserError(
            f"{checkpoint}: an address, and checkpoints are read from this machine's folders or the"
            " Hugging Face hub; fetch it and give its folder, or give a hub id (owner/name)"
        )
    if path.is_file():
        raise UserError(f"{checkpoint}: a file and no GGUF file; give the folder that it is in")
    if str(place).startswith((".", "/", "~")) or str(place).count("/") > 1:
        raise UserError(
            f"{checkpoint}: no such folder; give a checkpoint folder, a GGUF file or a hub id"
        )
    return place


@functools.cache  # once in a process: its client tries half a minute for every file
def _hub_answers() -> bool:
    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:  # noqa: BLE001  httpx's or httpx2's, by the version of the hub's client
        return False
    return True


def _source(checkpoint: str | Path, place: str | Path) -> tuple[dict[str, bool], str]:
    """Return where transformers may load from, and the remedy where it cannot."""
    silent = isinstance(place, str) and not _hub_answers()
    network = "; check the network, or give a checkpoint folder" if silent else ""
    told = {"trust_remote_code": False, "local_files_only": silent}
    return told, bundled.remedy(checkpoint) or network


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
    source, remedy = _source(checkpoint, place)
    with one_line(f"{checkpoint}: cannot load the configuration", remedy):
        return transformers.AutoConfig.from_pretrained(place, **source)


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
    source, remedy = _source(checkpoint, place)
    with one_line(f"{checkpoint}: cannot load the tokenizer", remedy):
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **source)
        if cuts_as_written(tokenizer, place):
            return tokenizer
        warn(
            f"{checkpoint}: its tokenizer.json is used as it is; "
            f"transformers' {type(tokenizer).__name__} would cut words otherwise"
        )
        return transformers.PreTrainedTokenizerFast.from_pretrained(place, **source)


def cuts_as_written(tokenizer: Any, place: str | Path, revision: str | None = None) -> bool:
    """Return whether a tokenizer cuts words as the checkpoint's tokenizer.json says.

    The classes of some families (Qwen2) have their own rule, whatever the file says.
    """
    file: Any = Path(place, "tokenizer.json")
    if isinstance(place, str):
        file = try_to_load_from_cache(place, "tokenizer.json", revision=revision)
    if not isinstance(file, str | Path) or not Path(file).is_file():
        return True
    written = tokenizers.Tokenizer.from_file(str(file))
    written.no_padding()
    ids: list[int] = written.encode(PROBE, add_special_tokens=False).ids
    return ids == list(tokenizer.encode(PROBE, add_special_tokens=False))


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
    source, remedy = _source(checkpoint, place)
    with one_line(f"{checkpoint}: cannot load the model", remedy):
        model = whole_model(checkpoint, config, dtype, place, use_safetensors=True, **source)
        if isinstance(place, Path) and (place / "generation_config.json").is_file():
            # A damaged one is left out by `from_pretrained`, and its end tokens with it.
            transformers.GenerationConfig.from_pretrained(place)
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
    rows, tokens = model.get_input_embeddings().num_embeddings, token_count(tokenizer)
    if tokens > rows:
        raise UserError(
            f"{checkpoint}: its tokenizer has {tokens} tokens and its model {rows} rows of "
            "embeddings; they belong to different checkpoints (or call resize_token_embeddings and "
            "save the model)"
        )
    _remark(checkpoint, model, tokenizer)
    return model, tokenizer


def _remark(checkpoint: str | Path, model: Any, tokenizer: Any) -> None:
    """Warn of what may be meant, but seldom is."""
    rows, tokens = model.get_input_embeddings().num_embeddings, token_count(tokenizer)
    if rows - tokens > max(_SPARE_ROWS, tokens // 20):
        warn(
            f"{checkpoint}: its model has {rows} rows of embeddings and its tokenizer only {tokens}"
            " tokens; it may be the tokenizer of another model"
        )
    ends = _own_ends(model)
    marks = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    if ends and ends.isdisjoint(marks):
        shown = tokenizer.convert_ids_to_tokens(min(ends))
        warn(
            f"{checkpoint}: its model ends a text with token {min(ends)}, for its tokenizer "
            f"{shown!r}; it may be the tokenizer of another model"
        )
    asked = model.generation_config.to_diff_dict() if model.generation_config is not None else {}
    if left_out := [name for name in _NOT_APPLIED if asked.get(name) not in (None, 0, 1)]:
        warn(
            f"{checkpoint}: its generation_config.json sets {', '.join(left_out)}, which is not "
            "applied: every model answers greedily, or sampled as the method says"
        )


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
    own = tokenizer.eos_token_id
    return _own_ends(model).union([] if own is None else [int(own)])


def plain_generation(model: Any, tokenizer: Any, **more: Any) -> Any:
    """Return how this package decodes greedily, for others who use the model.

    A base's own penalties and temperatures would change the answers.
    """
    own = model.generation_config
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return transformers.GenerationConfig(
        do_sample=False,
        use_cache=True,
        eos_token_id=sorted(end_ids(model, tokenizer)),
        pad_token_id=pad,
        bos_token_id=own.bos_token_id,
        decoder_start_token_id=own.decoder_start_token_id,
        **more,
    )


def _own_ends(model: Any) -> frozenset[int]:
    listed = model.generation_config.eos_token_id if model.generation_config is not None else None
    several = listed if isinstance(listed, list) else [listed]
    return frozenset(int(token) for token in several if token is not None)


def checkpoint_fingerprint(checkpoint: str | Path, config: Any) -> str:
    """Return a hash of a checkpoint's files, or for a hub id the id and the commit that its loaded
    `config` names.
    """
    place = resolve(checkpoint)
    return content_hash(place) if isinstance(place, Path) else f"{place}@{config._commit_hash}"

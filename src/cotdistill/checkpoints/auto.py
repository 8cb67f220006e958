"""Models as transformers makes them, and one line for whatever a library says about a file."""

import functools
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from cotdistill.errors import UserError

PROBE = "It's  3 apples,\n\n\tor 1,234.50 of THEM: Ünï 日本語 🙂"
"""A text that rules for cutting words cut differently."""


@functools.cache  # a checkpoint is loaded for every cell of a grid; once is enough
def warn(line: str) -> None:
    """Say what is unusual about a checkpoint, once in a process."""
    logging.getLogger("cotdistill.checkpoints").warning(line)


def whole_model(
    checkpoint: str | Path, config: Any, dtype: torch.dtype, place: str | Path, **source: Any
) -> Any:
    """Return the model that transformers loads from a place.

    Raises:
        UserError: weights are missing or of another shape, which transformers would fill with
            random numbers; or there are some that a layer would compute without, or two that are
            to be one, of which libraries choose differently.
    """
    told = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    with _no_table():
        model, loaded = auto_class(config).from_pretrained(
            place, config=config, dtype=dtype, **told, **source
        )
    spare = sorted(loaded["unexpected_keys"])
    layers = {name.rpartition(".")[0] for name, _ in model.named_parameters()} - {""}
    parts = {name: accumulate(name.split("."), "{}.{}".format) for name in spare}
    if within := [name for name in spare if not layers.isdisjoint(parts[name])]:
        raise UserError(
            f"{checkpoint}: {len(within)} weights belong to layers of a {type(model).__name__} that"
            f" would compute without them, among them {within[0]}; quantized weights and adapters"
            " are not read so: take the whole model, or correct model_type in its config.json"
        )
    if spare:
        warn(
            f"{checkpoint}: {len(spare)} of its weights have no place in a {type(model).__name__}"
            f" and are left out, among them {spare[0]}"
        )
    if misshapen := sorted(loaded["mismatched_keys"]):
        name, there, wanted = misshapen[0]
        raise UserError(
            f"{checkpoint}: {len(misshapen)} weights have another shape than its configuration "
            f"says, among them {name}: {tuple(there)} and not {tuple(wanted)}; copy or convert the "
            "checkpoint again"
        )
    if absent := sorted(loaded["missing_keys"]):
        raise UserError(
            f"{checkpoint}: {len(absent)} weights are missing from its files, "
            f"among them {absent[0]}; copy or convert the checkpoint again"
        )
    tied = model.get_expanded_tied_weights_keys(all_submodels=True)
    # Those of T5 are named one in any case, and are not where the files hold two.
    apart = sorted(tied.keys() - model.all_tied_weights_keys.keys())
    if apart and not config.is_encoder_decoder:
        raise UserError(
            f"{checkpoint}: tie_word_embeddings of its config.json says that {apart[0]} is "
            f"{tied[apart[0]]}, and its files hold two that differ; set it to false to use both, or"
            f" take {apart[0]} out of the files"
        )
    return model


@contextmanager
def _no_table() -> Iterator[None]:
    """Keep transformers from printing a table of weights, of which a line is made here."""
    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def auto_class(config: Any) -> Any:
    """Return transformers' class for the models of a configuration.

    Raises:
        UserError: a model such as BERT, which sees what follows: it cannot write.
    """
    masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    if masked and not config.is_encoder_decoder and not config.to_dict().get("is_decoder"):
        raise UserError(
            f"{config.name_or_path or 'student config'}: a {config.model_type} sees the words after"
            " a word too and cannot write; take a decoder-only or encoder-decoder model (or set "
            "is_decoder: true in its config.json if it was trained as one)"
        )
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


@contextmanager
def one_line(what: str, remedy: str = "") -> Iterator[None]:
    """Turn whatever a library says about unusable files into one line."""
    try:
        yield
    except UserError:
        raise
    except (
        *(OSError, ValueError, ImportError, RuntimeError, LookupError, SafetensorError),
        *(AttributeError, TypeError, AssertionError, struct.error),
    ) as error:
        first = (str(error).strip() or repr(error)).split("\n")[0]
        raise UserError(f"{what}: {first.rstrip('.') if remedy else first}{remedy}") from error

"""Models as transformers makes them, and one line for whatever a library says about a file."""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from cotdistill.errors import UserError


def whole_model(
    checkpoint: str | Path, config: Any, dtype: torch.dtype, place: str | Path, **source: Any
) -> Any:
    """Return the model that transformers loads from a place.

    Raises:
        UserError: weights are missing or of another shape, which transformers would fill with
            random numbers.
    """
    told = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    with _no_table():
        model, loaded = auto_class(config).from_pretrained(
            place, config=config, dtype=dtype, **told, **source
        )
    if spare := sorted(loaded["unexpected_keys"]):
        logging.getLogger("cotdistill.checkpoints").warning(
            "%s: %d of its weights have no place in a %s and are left out, among them %s",
            *(checkpoint, len(spare), type(model).__name__, spare[0]),
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
    """Return transformers' class for the models of a configuration."""
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
        raise UserError(f"{what}: {first}{remedy}") from error

"""GGUF files (llama.cpp, Ollama, LM Studio) as checkpoints: converted once into safetensors, in a
cache folder.

transformers reads weights, configuration and tokenizer; the weights become float32, exactly the
numbers that the `gguf` package gives for the file. Left out: keeping the weights quantized, and
architectures that transformers does not read.
"""

import json
from collections.abc import Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from tokenizers import pre_tokenizers

from cotdistill.checkpoints.auto import PROBE, auto_class, one_line, whole_model
from cotdistill.checkpoints.conversions import converted
from cotdistill.checkpoints.gguf_settings import GgufFile, check_kind, check_made, complete
from cotdistill.checkpoints.hashes import seal
from cotdistill.errors import MissingExtra, UserError
from cotdistill.util.files import file_hash

_FORMAT = 3
"""Raise it when a file has to be converted again because the conversion changed."""

# Byte-level vocabularies whose words are cut by GPT-2's rule, as transformers does where it knows
# no other.
_GPT2_SPLIT = {"gpt-2", "gpt2", "mpt", "olmo", "jais", "phi-2", "trillion", "gigachat"}
# The same rule, but every digit is a word of its own.
_DIGIT_SPLIT = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}


def from_gguf(path: Path) -> Path:
    """Return a checkpoint folder with the contents of a GGUF file, made when the file is first
    seen.

    Raises:
        UserError: no such file, or transformers cannot read it.
        MissingExtra: the package `gguf` is not installed.
        StoreError: the cache folder cannot be written.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a GGUF file, a checkpoint folder or a hub id")
    # A newer transformers may read the same file differently, so its version is part of the name.
    name = f"{file_hash(path)[:32]}-{_FORMAT}-transformers-{transformers.__version__}"
    return converted("gguf", name, lambda folder: _convert(path, folder))


def _convert(path: Path, folder: Path) -> None:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise MissingExtra(f"{path}: GGUF files need: pip install 'cotdistill[gguf]'") from error
    # The bars of several readers would cut into the run's own.
    wrong = f"{path}: transformers cannot read this GGUF file"
    remedy = "; if the file is whole, use the model's checkpoint from the hub"
    with TemporaryDirectory() as alone, redirect_stderr(StringIO()), one_line(wrong, remedy):
        # transformers mixes in a tokenizer or template that stands beside the file.
        (Path(alone) / path.name).symlink_to(path.resolve())
        reader = GGUFReader(path)
        # Vocabulary and merges are transformers' to read; here they would take seconds.
        large = ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")
        metadata = {k: field.contents() for k, field in reader.fields.items() if k not in large}
        file = GgufFile(path, metadata, {tensor.name: tensor for tensor in reader.tensors})
        check_kind(file)
        tokens = len(reader.fields["tokenizer.ggml.tokens"].data)
        config = transformers.AutoConfig.from_pretrained(alone, gguf_file=path.name)
        complete(file, config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(alone, gguf_file=path.name)
        model = whole_model(path, config, torch.float32, alone, gguf_file=path.name)
        check_made(file, model)
    _cut_as_learnt(path, tokenizer, metadata)
    # A model that was loaded from GGUF refuses to be saved; one of the same configuration does not.
    # Tied weights are one tensor and are saved as one; those that are not stay two.
    with torch.device("meta"):
        fresh = auto_class(config).from_config(type(config).from_dict(config.to_dict()))
    fresh.load_state_dict(model.state_dict(), assign=True)
    fresh.generation_config = model.generation_config
    # A chat model's turn may end with another token than its text does.
    ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    if known := sorted({int(end) for end in ends if end is not None}):
        fresh.generation_config.eos_token_id = known
    fresh.save_pretrained(folder)
    _save_tokenizer(path, tokenizer, tokens, folder)
    seal(folder)


def _save_tokenizer(path: Path, tokenizer: Any, tokens: int, folder: Path) -> None:
    """Write a tokenizer with as many tokens as its file has, to be read again as it is."""
    tokenizer.save_pretrained(folder)
    # transformers' tokenizer classes add their own family's tokens, for which the model has no row.
    own = {one for one, id in tokenizer.get_vocab().items() if id < tokens}
    whole, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    written = json.loads(whole.read_text("utf-8"))
    written["added_tokens"] = [one for one in written["added_tokens"] if one["content"] in own]
    whole.write_text(json.dumps(written, ensure_ascii=False), "utf-8")
    named = json.loads(settings.read_text("utf-8"))
    foreign = {name for name in named if name.endswith("_token") and named[name] not in own}
    named = {name: value for name, value in named.items() if name not in foreign}
    named.pop("extra_special_tokens", None)  # those of the file stand in tokenizer.json
    # The classes of some families cut words by their own rule, whatever stands in tokenizer.json.
    named["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings.write_text(json.dumps(named, ensure_ascii=False, indent=2), "utf-8")
    again = transformers.AutoTokenizer.from_pretrained(folder)
    if again.tokenize(PROBE) != tokenizer.tokenize(PROBE):
        raise _unknown_rule(path, "not that of transformers for this architecture")


def _cut_as_learnt(path: Path, tokenizer: Any, fields: Mapping[str, Any]) -> None:
    """Have the tokenizer cut words as the vocabulary was learnt, which transformers does not for
    every rule there is.
    """
    rule, core = fields.get("tokenizer.ggml.pre", "default"), tokenizer.backend_tokenizer
    if fields.get("tokenizer.ggml.model") != "gpt2":  # SentencePiece cuts no words
        spaced = fields.get("tokenizer.ggml.add_space_prefix", True)
        if not spaced and isinstance(core.pre_tokenizer, pre_tokenizers.Metaspace):
            plain = transformers.LlamaTokenizer(add_prefix_space=False).backend_tokenizer
            core.pre_tokenizer, core.decoder = plain.pre_tokenizer, plain.decoder
        return
    if not isinstance(core.pre_tokenizer, pre_tokenizers.ByteLevel) or rule in _GPT2_SPLIT:
        return
    if rule == "default" and fields["general.architecture"] == "gpt2":
        return
    if rule not in _DIGIT_SPLIT:
        raise _unknown_rule(path, rule)
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), core.pre_tokenizer]
    )


def _unknown_rule(path: Path, rule: str) -> UserError:
    return UserError(
        f"{path}: its rule for cutting words ({rule}) is unknown, so texts would be read otherwise "
        "than they were learnt; use the model's checkpoint from the hub"
    )

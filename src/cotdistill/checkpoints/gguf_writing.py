"""A model in memory as a GGUF file, which llama.cpp, Ollama and LM Studio read.

    write_gguf(model, tokenizer, "runs/…/checkpoint", Path("model.gguf"), "bf16")

For Llama's plain form (SmolLM2's among others) with a byte-level vocabulary whose words are cut by
a rule that llama.cpp has; tensors and fields are those of its `convert_hf_to_gguf.py`. Left out:
other architectures and quantization, for which that script and `llama-quantize` are.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np

from cotdistill.checkpoints.loading import end_ids
from cotdistill.errors import UserError

# Steps by which a tokenizer cuts text into words, and what llama.cpp calls them.
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
_RULES = {"gpt-2": [_BYTES], "smollm": [_DIGITS, _BYTES]}
# Habits of a vocabulary that a GGUF file cannot tell.
_HABITS = ("unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback",
           "ignore_merges")  # fmt: skip


def check_gguf(config: Any, tokenizer: Any, place: str | Path) -> None:
    """Raise an error where `write_gguf` cannot write such a model.

    Raises:
        UserError: another architecture or vocabulary; the message names what can be written.
    """
    wrong = ""
    if config.model_type != "llama" or config.attention_bias or config.mlp_bias:
        wrong = f"its architecture is {config.model_type}, or has biases"
    elif config.rope_parameters["rope_type"] != "default" or config.hidden_act != "silu":
        wrong = "its positions or activations are another Llama's"
    elif _rule(tokenizer) is None:
        wrong = "its tokenizer cuts words by a rule that llama.cpp has no name for here"
    if wrong:
        raise UserError(
            f"{place}: cannot be written as GGUF, because {wrong}; a plain Llama with the "
            "vocabulary of GPT-2's or SmolLM2's kind can; export without --gguf and give the folder"
            " to llama.cpp's convert_hf_to_gguf.py, which reads more"
        )


def write_gguf(
    model: Any, tokenizer: Any, place: str | Path, path: Path, dtype: Literal["bf16", "fp32"]
) -> None:
    """Write the file: matrices as `dtype`, vectors as float32, as llama.cpp's converter does.

    Raises:
        UserError: another architecture or vocabulary than `check_gguf` lets pass.
    """
    config = model.config
    check_gguf(config, tokenizer, place)
    writer = gguf.GGUFWriter(path, "llama")
    half = gguf.GGMLQuantizationType.BF16
    writer.add_file_type(
        gguf.LlamaFileType[f"MOSTLY_{half.name}" if dtype == "bf16" else "ALL_F32"]
    )
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, model, tokenizer)

    def kind(tensor: Any) -> gguf.GGMLQuantizationType:
        matrix = dtype == "bf16" and tensor.dim() > 1
        return half if matrix else gguf.GGMLQuantizationType.F32

    for name, tensor in _tensors(model):
        size = tensor.numel() * (2 if kind(tensor) is half else 4)
        writer.add_tensor_info(name, tensor.shape, np.dtype("float32"), size, kind(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, tensor in _tensors(model):  # one after the other: a file can be larger than memory
        writer.write_tensor_data(gguf.quants.quantize(tensor.float().numpy(), kind(tensor)))
    writer.close()


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        short = names.get_name(name, try_suffixes=(".weight",))
        assert short is not None, name
        if count := heads.get(name.split(".")[-2]):
            # llama.cpp turns neighbours where transformers turns the halves of a head.
            halves = tensor.reshape(count, 2, -1, tensor.shape[-1])
            tensor = halves.transpose(1, 2).reshape(tensor.shape)
        yield short, tensor.contiguous()


def _add_tokenizer(writer: gguf.GGUFWriter, model: Any, tokenizer: Any) -> None:
    rows, types = model.config.vocab_size, gguf.TokenType
    tokens = [f"[PAD{row}]" for row in range(rows)]  # rows of the matrix that no token has
    kinds = [types.UNUSED] * rows
    for token, row in tokenizer.get_vocab().items():
        tokens[row], kinds[row] = token, types.NORMAL
    for row, token in tokenizer.added_tokens_decoder.items():
        kinds[row] = types.CONTROL if token.special else types.USER_DEFINED
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_rule(tokenizer) or "")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in merges])
    around = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(around[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(around[-1] == tokenizer.eos_token_id)
    writer.add_add_space_prefix(False)
    for name in ("bos", "eos", "pad", "unk"):
        if (row := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(row)
    if more := sorted(end_ids(model, tokenizer) - {tokenizer.eos_token_id}):
        writer.add_eot_token_id(more[0])
    writer.add_chat_template(tokenizer.chat_template)


def _rule(tokenizer: Any) -> str | None:
    """Return llama.cpp's name for how words are cut, or None where it has none."""
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary, cutter = whole["model"], whole["pre_tokenizer"] or {}
    if whole["normalizer"] or vocabulary["type"] != "BPE":
        return None
    if any(vocabulary[habit] for habit in _HABITS):
        return None
    steps = cutter.get("pretokenizers", [cutter])
    found = [{key: value for key, value in step.items() if key != "trim_offsets"} for step in steps]
    return next((name for name, rule in _RULES.items() if rule == found), None)

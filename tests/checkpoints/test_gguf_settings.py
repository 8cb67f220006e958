"""What a GGUF file says beside its weights: the model computes as the one it was made of, or it is
refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from cotdistill.checkpoints.loading import load_checkpoint, load_tokenizer, resolve
from cotdistill.errors import UserError
from cotdistill.testing.tiny import Family, tiny_checkpoint

reader = pytest.importorskip("gguf", reason="needs the package gguf: pip install gguf")

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
ROPE = {"rope_theta": 10000.0, "original_max_position_embeddings": 8192}
LLAMA3 = {**ROPE, "rope_theta": 500000.0, "rope_type": "llama3", "factor": 32.0}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    def made(family: Family) -> Any:
        return load_tokenizer(tiny_checkpoint(tmp_path_factory.mktemp(family), family))

    return {"bytes": made("llama"), "t5": made("t5")}


def lively(config: Any) -> Any:
    """A model whose logits show every setting: larger matrices, uneven norms and biases."""
    torch.manual_seed(0)
    causal = transformers.AutoModelForCausalLM
    model: Any = (
        transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else causal
    ).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6.0 if parameter.std() < 0.05 else 1.0)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def order_of_llama(name: str, array: np.ndarray, config: Any) -> np.ndarray:
    """Rows of a projection in llama.cpp's order: the halves of each head take turns."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next(count for part, count in heads.items() if part in name)
    pairs = array.reshape(count, 2, array.shape[0] // count // 2, -1)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(array.shape))


def write(
    path: Path,
    model: Any,
    tokenizer: Any,
    settings: dict[str, Any],
    *,
    fields: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
    pieces: str = "t5",
) -> Path:
    """A model as llama.cpp's converter writes it, in float32; `settings` without the
    architecture's name.
    """
    config, core = model.config, json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    architecture = config.model_type
    writer = reader.GGUFWriter(path, architecture)
    sizes = {
        "context_length": settings.pop("context_length", 256),
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": 128 if architecture == "gpt2" else 64,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": getattr(config, "num_key_value_heads", 4),
    }
    stated = {f"{architecture}.{name}": value for name, value in (sizes | settings).items()}
    for name, value in (stated | (fields or {})).items():
        kind = {bool: "bool", int: "uint32", float: "float32", str: "string"}[type(value)]
        getattr(writer, f"add_{kind}")(name, value)
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer.add_tokenizer_model(pieces if core["type"] == "Unigram" else "gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in tokenizer.all_special_tokens else 1 for token in tokens])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if core["type"] == "Unigram":
        writer.add_token_scores([score for _, score in core["vocab"]])
        writer.add_unk_token_id(tokenizer.unk_token_id)
    else:
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges([" ".join(merge) for merge in core["merges"]])
    kinds = {name: kind for kind, name in reader.MODEL_ARCH_NAMES.items()}
    names = reader.get_tensor_name_map(kinds[architecture], config.num_hidden_layers)
    written = set()
    for name, tensor in model.state_dict().items():
        array, target = tensor.numpy(), names.get_name(name, (".weight", ".bias"))
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            array = order_of_llama(name, array, config)
        if architecture == "gpt2" and name.endswith(
            ("c_attn.weight", "c_proj.weight", "fc.weight")
        ):
            array = np.ascontiguousarray(array.T)
        tied = target == "output.weight" and config.tie_word_embeddings and architecture != "t5"
        if target is not None and target not in written and not tied:
            writer.add_tensor(target, array)
        written.add(target)
    for name, array in (tensors or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def logits(model: Any) -> torch.Tensor:
    torch.manual_seed(1)
    ids = torch.randint(3, model.config.vocab_size - 1, (1, 80))
    behind = {"decoder_input_ids": ids[:, :9]} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=ids, **behind).logits
    return result


def factors(rope: dict[str, Any]) -> np.ndarray:
    """What llama.cpp's converter writes for Llama 3.1 and later."""
    turned = lively(transformers.LlamaConfig(**SHAPE, vocab_size=300, rope_parameters=rope))
    plain = rope["rope_theta"] ** (-np.arange(0, 8, 2) / 8)
    found: np.ndarray = plain / turned.model.rotary_emb.inv_freq.numpy()
    return found.astype(np.float32)


@pytest.mark.parametrize(
    ("made", "stated"),
    [
        ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, **ROPE}}),
        ("llama", {"rope_parameters": LLAMA3}),
        ("qwen3", {"head_dim": 16}),
        ("starcoder2", {"rope_parameters": {"rope_type": "default", "rope_theta": 777.0}}),
        (
            "stablelm",
            {
                "layer_norm_eps": 0.1,
                "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5},
            },
        ),
        ("gpt2", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "positions",
)
def test_the_model_computes_as_the_one_it_was_made_of(
    tokenizers: dict[str, Any], tmp_path: Path, made: str, stated: dict[str, Any]
) -> None:
    tokenizer = tokenizers["bytes"]
    if made == "gpt2":
        shape: dict[str, Any] = {"n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 4}
    else:
        shape = {**SHAPE, **stated}
    rope = shape.get("rope_parameters", {})
    model = lively(
        transformers.AutoConfig.for_model(
            made, vocab_size=len(tokenizer), bos_token_id=None, **shape
        )
    )
    config = model.config
    epsilon = next(
        getattr(config, name)
        for name in ("rms_norm_eps", "layer_norm_eps", "norm_epsilon", "layer_norm_epsilon")
        if hasattr(config, name)
    )
    settings = {
        "attention.layer_norm_rms_epsilon": epsilon,
        "attention.layer_norm_epsilon": epsilon,
    }
    if hasattr(config, "head_dim"):
        settings |= {"attention.key_length": config.head_dim}
    if made != "gpt2":
        settings["rope.freq_base"] = config.rope_parameters["rope_theta"]
    if part := rope.get("partial_rotary_factor"):
        settings["rope.dimension_count"] = int(8 * part)
        settings["use_parallel_residual"] = config.use_parallel_residual
    tensors = {}
    if rope.get("rope_type") == "llama3":
        tensors["rope_freqs.weight"] = factors(rope)
    elif rope.get("factor"):
        settings |= {"rope.scaling.type": rope["rope_type"], "rope.scaling.factor": rope["factor"]}
        settings["rope.scaling.original_context_length"] = 8192
    path = write(tmp_path / "m.gguf", model, tokenizer, settings, tensors=tensors)
    again, _ = load_checkpoint(path, torch.float32)
    assert torch.allclose(logits(again), logits(model), atol=1e-5)
    if "rope_type" in rope and rope["rope_type"] != "default":
        plain = {"rope_type": "default", "rope_theta": rope["rope_theta"]}
        model = lively(type(config)(**{**config.to_dict(), "rope_parameters": plain}))
        assert not torch.allclose(logits(again), logits(model), atol=1e-3), "it is seen"


def test_t5_is_gated_by_gelu_and_its_output_matrix_stays_its_own(
    tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    tokenizer = tokenizers["t5"]
    start = {"decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu"}
    config = transformers.T5Config(**T5, **start, vocab_size=len(tokenizer))
    config.scale_decoder_outputs = False  # as those have whose output matrix is their own
    model = lively(config)
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    settings = {
        "attention.key_length": 8,
        "attention.relative_buckets_count": 32,
        "attention.layer_norm_epsilon": 1e-6,
        "decoder_start_token_id": 0,
    }
    again, read = load_checkpoint(
        write(tmp_path / "m.gguf", model, tokenizer, settings), torch.float32
    )
    assert torch.allclose(logits(again), logits(model), atol=1e-5)
    assert len(read) == len(tokenizer), "no tokens of the family that the file lacks"


def test_words_are_cut_by_the_rule_of_the_file_whatever_the_family(
    tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    tokenizer = tokenizers["bytes"]
    config = transformers.Qwen3Config(**SHAPE, head_dim=8, vocab_size=len(tokenizer))
    settings = {"attention.layer_norm_rms_epsilon": 1e-6, "attention.key_length": 8}
    path = write(tmp_path / "m.gguf", lively(config), tokenizer, settings)
    for text in ("has 3 apples and 18 more", "  two  spaces\n\n12", "The answer is 1,234.50"):
        assert load_tokenizer(path).tokenize(text) == tokenizer.tokenize(text)


@pytest.mark.parametrize("spaced", [True, False])
def test_a_space_before_a_text_is_added_where_the_file_says_so(
    tokenizers: dict[str, Any], tmp_path: Path, spaced: bool
) -> None:
    tokenizer = tokenizers["t5"]
    config = transformers.LlamaConfig(**SHAPE, vocab_size=len(tokenizer))
    settings = {"attention.layer_norm_rms_epsilon": 1e-6}
    fields = {"tokenizer.ggml.add_space_prefix": spaced}
    read = load_tokenizer(
        write(
            tmp_path / "m.gguf", lively(config), tokenizer, settings, fields=fields, pieces="llama"
        )
    )
    assert read.tokenize("apples and")[0].startswith("▁") == spaced
    assert "▁" in "".join(read.tokenize("apples and")[1:])


@pytest.mark.parametrize(
    ("settings", "more", "message"),
    [
        ({"attention.clamp_kqv": 8.0}, {}, "leaves out its setting llama.attention.clamp_kqv, so"),
        ({"attention.causal": False}, {}, "leaves out its setting llama.attention.causal, so"),
        ({"rope.scaling.type": "su"}, {}, r"leaves out its scaling of rotary positions \('su'\)"),
        (
            {},
            {"tensors": {"blk.0.attn_q.bias": np.ones(32, np.float32)}},
            "leaves out 32 of its [0-9,]+ weights",
        ),
        (
            {},
            {"tensors": {"rope_freqs.weight": np.array([1, 2, 3, 4], np.float32)}},
            "leaves out its scaling of rotary positions",
        ),
        ({}, {"fields": {"general.type": "adapter"}}, "it holds a LoRA adapter: merge it"),
        ({}, {"fields": {"general.type": "mmproj"}}, "it holds the part of a model that reads pic"),
        ({}, {"fields": {"split.count": 2}}, "one of 2 files of a model; join them"),
        (
            {"attention.key_length": 16},
            {},
            r"weights have another shape .* \(16, 32\) and not \(32, 32\)",
        ),
    ],
)
def test_what_would_compute_otherwise_is_refused_in_one_line(
    tokenizers: dict[str, Any],
    tmp_path: Path,
    settings: dict[str, Any],
    more: dict[str, Any],
    message: str,
) -> None:
    tokenizer = tokenizers["bytes"]
    config = transformers.LlamaConfig(**SHAPE, vocab_size=len(tokenizer))
    stated = {"attention.layer_norm_rms_epsilon": 1e-6, **settings}
    path = write(tmp_path / "m.gguf", lively(config), tokenizer, stated, **more)
    with pytest.raises(UserError, match=rf"^{path}: [^\n]*{message}[^\n]*$"):
        resolve(path)

"""Settings of a GGUF file that transformers leaves out: read, compared, or refused.

transformers reads sizes and heads; scaled and partial rotary positions, epsilons, soft caps and the
widths of experts stay as its own defaults, without a word. `complete` puts them into the
configuration, `check_made` compares the model that was made with the file. A setting that is not
known here is refused: the model would answer, but not as it was trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cotdistill.errors import UserError

_OTHER = {
    "adapter": "a LoRA adapter: merge it into its model (llama-export-lora)",
    "mmproj": "the part of a model that reads pictures: give the file of the model itself",
    "imatrix": "statistics for quantizing a model: give the file of the model itself",
}
_LEFT_OUT = {
    "attention.key_length": ("head_dim",),
    "attention.layer_norm_epsilon": ("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon",
                                     "norm_eps"),
    "attention.sliding_window": ("sliding_window",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "context_length": ("n_positions",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "feed_forward_length": ("n_inner",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "rope.scaling.original_context_length": ("original_max_position_embeddings",),
}  # fmt: skip
"""Settings of a file, and what transformers' configurations call them."""
_READ = {
    "attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon",
    "attention.relative_buckets_count", "attention.value_length", "block_count",
    "decoder_start_token_id", "embedding_length", "expert_count", "expert_used_count",
    "full_attention_interval", "nextn_predict_layers", "rope.dimension_count",
    "rope.dimension_sections", "rope.freq_base", "rope.freq_base_swa", "rope.scale_linear",
    "rope.scaling.attn_factor", "rope.scaling.factor", "rope.scaling.finetuned",
    "rope.scaling.type", "shortconv.l_cache", "ssm.conv_kernel", "ssm.group_count",
    "ssm.inner_size", "ssm.state_size", "ssm.time_step_rank", "tensor_data_layout",
    "use_parallel_residual", "vocab_size",
}  # fmt: skip
"""Settings that transformers reads, or `_rope` does."""
_QUERY_SCALED = {("gemma2", 46), ("gemma3", 62)}
"""Models of 27 billion parameters, whose queries have another scale than the smaller ones': no file
tells it, and llama.cpp knows it by the number of blocks."""
_FREQUENCIES = ("rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight")
"""Factors of rotary frequencies, which are no weights."""


@dataclass(frozen=True)
class GgufFile:
    """A file as the package `gguf` reads it: fields without the vocabulary, tensors by name."""

    path: Path
    fields: Mapping[str, Any]
    tensors: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the architecture, without its name in front."""
        lead = f"{self.fields['general.architecture']}."
        return {
            key.removeprefix(lead): value
            for key, value in self.fields.items()
            if key.startswith(lead)
        }

    def factors(self, name: str) -> torch.Tensor:
        """Return factors of rotary frequencies."""
        return torch.tensor(self.tensors[name].data, dtype=torch.float64)


def check_kind(file: GgufFile) -> None:
    """Raise an error where a file is no whole model."""
    kind = file.fields.get("general.type", "model")
    if file.fields.get("general.architecture") == "clip":
        kind = "mmproj"
    if kind in _OTHER:
        raise UserError(f"{file.path}: it holds {_OTHER[kind]}")
    if (parts := int(file.fields.get("split.count", 1))) > 1:
        raise UserError(
            f"{file.path}: one of {parts} files of a model; join them (llama-gguf-split --merge "
            "FIRST.gguf JOINED.gguf) and give the one they make"
        )


def complete(file: GgufFile, config: Any) -> None:
    """Put into the configuration that transformers made of a file what it leaves out.

    Raises:
        UserError: a setting of the file is not known.
    """
    stated, fields = file.settings, file.fields
    for name, value in stated.items():
        says = not value if name == "attention.causal" else value  # false says: an encoder
        if says and name not in _READ and name not in _LEFT_OUT:
            raise _otherwise(file, f"its setting {fields['general.architecture']}.{name}")
    # Defaults of transformers' classes, unless the file has its own.
    if getattr(config, "sliding_window", None) is not None:
        config.sliding_window = None
    config.pad_token_id = fields.get("tokenizer.ggml.padding_token_id")
    for name, attributes in _LEFT_OUT.items():
        known = next((one for one in attributes if hasattr(config, one)), None)
        if known is not None and stated.get(name):
            setattr(config, known, stated[name])
    if (fields["general.architecture"], stated.get("block_count")) in _QUERY_SCALED:
        config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads
    if config.model_type in ("t5", "umt5"):  # the gated ones, which transformers reads alone
        config.feed_forward_proj, config.dense_act_fn = "gated-gelu", "gelu_new"
        config.scale_decoder_outputs = "output.weight" not in file.tensors
    if getattr(config, "rope_parameters", None):
        _rope(file, config)


def _rope(file: GgufFile, config: Any) -> None:
    stated, of_layers = file.settings, "full_attention" in config.rope_parameters
    rope = config.rope_parameters["full_attention"] if of_layers else config.rope_parameters
    if of_layers and "rope.freq_base_swa" in stated:
        config.rope_parameters["sliding_attention"]["rope_theta"] = stated["rope.freq_base_swa"]
    if "rope.freq_base" in stated:
        rope["rope_theta"] = stated["rope.freq_base"]
    if rotated := stated.get("rope.dimension_count"):
        rope["partial_rotary_factor"] = rotated / _head_dimension(config)
    kind, factor = _scaling(file)
    if kind != "none":
        rope |= {"rope_type": kind, "factor": factor}
    if kind in ("yarn", "longrope"):
        original = stated["rope.scaling.original_context_length"]
        rope |= {"original_max_position_embeddings": original}
    if kind == "longrope":
        rope["attention_factor"] = stated.get("rope.scaling.attn_factor", 1.0)
        for one in ("short", "long"):
            rope[f"{one}_factor"] = file.factors(f"rope_factors_{one}.weight").tolist()
    if kind == "llama3":
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
        rope |= {"original_max_position_embeddings": 8192}


def check_made(file: GgufFile, model: Any) -> None:
    """Raise an error where the model that transformers made of a file leaves out some of its
    weights, or turns positions otherwise.
    """
    weights, config = dict(file.tensors), model.config
    first, last = weights.get("token_embd.weight"), weights.get("output.weight")
    if config.tie_word_embeddings and first and last and np.array_equal(first.data, last.data):
        del weights["output.weight"]  # tied weights that are there twice
    # Blocks behind the last one guess tokens ahead; transformers' models have none.
    ahead = (*_FREQUENCIES, f"blk.{config.num_hidden_layers}.")
    there = sum(int(one.n_elements) for name, one in weights.items() if not name.startswith(ahead))
    made = {tensor.data_ptr(): tensor.numel() for tensor in model.state_dict().values()}
    if there != sum(made.values()):
        raise _otherwise(file, f"{there - sum(made.values()):,} of its {there:,} weights")
    kind, factor = _scaling(file)
    if kind not in ("none", "linear", "llama3") or not getattr(config, "rope_parameters", None):
        return
    stated = file.settings
    rotated = stated.get("rope.dimension_count") or _head_dimension(config)
    steps = torch.arange(0, rotated, 2, dtype=torch.float64) / rotated
    factors = file.factors("rope_freqs.weight") if kind == "llama3" else factor
    expected = float(stated.get("rope.freq_base", 10000.0)) ** -steps / factors
    for name, turned in model.named_buffers():
        if name.rsplit(".", 1)[-1] not in ("inv_freq", "full_attention_inv_freq"):
            continue
        if len(turned) != len(expected) or not torch.allclose(
            turned.double(), expected, rtol=1e-4, atol=0
        ):
            raise _otherwise(file, "its scaling of rotary positions")


def _scaling(file: GgufFile) -> tuple[str, float]:
    """Return how a file scales rotary positions, in transformers' words, and by what."""
    stated = file.settings
    if "rope_freqs.weight" in file.tensors:
        # The form of Llama 3.1 and later. Of its four numbers the file has what they come to;
        # `check_made` compares it with what they make.
        factor = float(file.factors("rope_freqs.weight").max())
        return ("llama3", factor) if factor > 1 else ("none", 1.0)
    if "rope_factors_long.weight" in file.tensors:
        return "longrope", 1.0
    if "rope.scale_linear" in stated:  # older files
        return "linear", stated["rope.scale_linear"]
    kind = stated.get("rope.scaling.type") or "none"
    if kind not in ("none", "linear", "yarn"):
        raise _otherwise(file, f"its scaling of rotary positions ({kind!r})")
    return kind, stated.get("rope.scaling.factor") or 1.0 if kind != "none" else 1.0


def _head_dimension(config: Any) -> int:
    own = getattr(config, "head_dim", None)
    return int(own or config.hidden_size // config.num_attention_heads)


def _otherwise(file: GgufFile, what: str) -> UserError:
    return UserError(
        f"{file.path}: transformers leaves out {what}, so the model would compute otherwise than "
        "it was trained; use the model's checkpoint from the hub"
    )

"""What can be wrong with a checkpoint is one line before anything is trained or asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from cotdistill.checkpoints.loading import load_checkpoint
from cotdistill.errors import UserError
from cotdistill.testing.tiny import tiny_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model", "llama")


def test_truncated_weights(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"^{checkpoint}: cannot load the model: [^\n]+$"):
        load_checkpoint(checkpoint, torch.float32)


def test_a_weight_that_is_missing_is_not_made_up(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"1 weights are missing from its files, among them model\.layers\.1"
    ):
        load_checkpoint(checkpoint, torch.float32)


def test_weights_of_another_shape(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = transformers.AutoConfig.from_pretrained(checkpoint)
    config.intermediate_size += 8
    config.save_pretrained(checkpoint)
    with pytest.raises(UserError, match=r"^[^\n]*6 weights have another shape [^\n]*\(32, 64\)"):
        load_checkpoint(checkpoint, torch.float32)
    assert not caplog.messages, "a table of transformers is no line"


def test_weights_that_have_no_place_are_said(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    weights["model.layers.0.self_attn.q_proj.bias"] = torch.ones(32)
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    load_checkpoint(checkpoint, torch.float32)
    [line] = [one for one in caplog.messages if "place" in one]
    assert "1 of its weights have no place in a LlamaForCausalLM" in line
    assert line.endswith("among them model.layers.0.self_attn.q_proj.bias")


def test_a_tokenizer_of_another_model(checkpoint: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.add_tokens(["<calc>", "</calc>"])
    tokenizer.save_pretrained(checkpoint)
    with pytest.raises(UserError, match=r"tokenizer has 390 tokens and its model 388 rows"):
        load_checkpoint(checkpoint, torch.float32)


def test_a_config_that_is_no_json(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text("{")
    with pytest.raises(UserError, match=rf"^{checkpoint}: cannot load the tokenizer: [^\n]+$"):
        load_checkpoint(checkpoint, torch.float32)


def test_an_adapter_is_no_model(checkpoint: Path) -> None:
    (checkpoint / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
    with pytest.raises(UserError, match=rf"^{checkpoint}: an adapter and no whole model; merge it"):
        load_checkpoint(checkpoint, torch.float32)


@pytest.mark.parametrize(
    ("gone", "message"),
    [("config.json", r"no checkpoint there \(no config.json\)"), ("tokenizer*", "no tokenizer")],
)
def test_a_folder_that_lacks_a_part(checkpoint: Path, gone: str, message: str) -> None:
    for path in checkpoint.glob(gone):
        path.unlink()
    with pytest.raises(UserError, match=rf"^{checkpoint}: {message}[^\n]+$"):
        load_checkpoint(checkpoint, torch.float32)

"""What can be wrong with a checkpoint is one line before anything is trained or asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from cotdistill.checkpoints import loading
from cotdistill.checkpoints.loading import load_checkpoint, load_config, load_tokenizer
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.errors import UserError
from cotdistill.records import Completion, Request
from cotdistill.testing.tiny import tiny_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model", "llama")


@contextmanager
def _weights(checkpoint: Path) -> Iterator[dict[str, torch.Tensor]]:
    """Read a checkpoint's weights, to be written again as they are when the block ends."""
    weights = load_file(checkpoint / "model.safetensors")
    yield weights
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})


def _edit(path: Path, **settings: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_truncated_weights(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"^{checkpoint}: cannot load the model: [^\n]+$"):
        load_checkpoint(checkpoint, torch.float32)


def test_a_weight_that_is_missing_is_not_made_up(checkpoint: Path) -> None:
    with _weights(checkpoint) as weights:
        del weights["model.layers.1.mlp.up_proj.weight"]
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


def test_weights_that_have_no_place_are_said_once(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with _weights(checkpoint) as weights:
        weights["v_head.weight"] = torch.ones(32)
    for _ in range(2):
        load_checkpoint(checkpoint, torch.float32)
    [line] = [one for one in caplog.messages if "place" in one]
    assert "1 of its weights have no place in a LlamaForCausalLM" in line
    assert line.endswith("among them v_head.weight")


@pytest.mark.parametrize("name", ["bias", "weight_scale", "lora_A.default.weight"])
def test_weights_that_a_layer_would_compute_without(checkpoint: Path, name: str) -> None:
    with _weights(checkpoint) as weights:
        weights[f"model.layers.0.self_attn.q_proj.{name}"] = torch.ones(32)
    with pytest.raises(UserError, match=rf"^{checkpoint}: 1 weights belong to layers of a Llama"):
        load_checkpoint(checkpoint, torch.float32)


def test_a_head_beside_tied_embeddings(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "model", "qwen2")
    with _weights(checkpoint) as weights:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    load_checkpoint(checkpoint, torch.float32)
    with _weights(checkpoint) as weights:
        weights["lm_head.weight"] += 1
    with pytest.raises(UserError, match=r"tie_word_embeddings [^\n]*lm_head\.weight[^\n]* differ"):
        load_checkpoint(checkpoint, torch.float32)
    _edit(checkpoint / "config.json", tie_word_embeddings=False)
    model, _ = load_checkpoint(checkpoint, torch.float32)
    assert torch.equal(model.lm_head.weight, weights["lm_head.weight"])


def test_a_model_that_sees_what_follows(checkpoint: Path) -> None:
    shape = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1}
    bert = transformers.BertConfig(**shape, intermediate_size=64, vocab_size=388)
    transformers.BertForMaskedLM(bert).save_pretrained(checkpoint)
    with pytest.raises(UserError, match=rf"^{checkpoint}: a bert sees the words after a word"):
        load_checkpoint(checkpoint, torch.float32)


def test_a_damaged_generation_config_is_not_left_out(checkpoint: Path) -> None:
    (checkpoint / "generation_config.json").write_text("{")
    with pytest.raises(UserError, match=r"cannot load the model: [^\n]*generation_config\.json"):
        load_checkpoint(checkpoint, torch.float32)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"repetition_penalty": 1.1, "num_beams": 1},
            "sets repetition_penalty, which is not applied",
        ),
        ({"eos_token_id": 7}, "ends a text with token 7, for its tokenizer '&'"),
        ({"eos_token_id": [7, 1], "temperature": 0.6}, None),
    ],
)
def test_generation_settings_that_do_not_count(
    checkpoint: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], said: str | None
) -> None:
    _edit(checkpoint / "generation_config.json", **settings)
    load_checkpoint(checkpoint, torch.float32)
    assert len(caplog.messages) == (said is not None)
    assert (said or "") in caplog.text


def test_words_are_cut_as_the_tokenizers_file_says(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "Ana has 1234 apples"
    before = load_tokenizer(checkpoint).tokenize(text)
    _edit(checkpoint / "config.json", model_type="qwen2")  # whose class cuts every digit apart
    assert transformers.AutoTokenizer.from_pretrained(checkpoint).tokenize(text) != before
    again = load_tokenizer(checkpoint)
    assert again.tokenize(text) == before
    assert again.eos_token == "</s>"
    assert "Qwen2Tokenizer would cut words otherwise" in caplog.text


def test_a_tokenizer_with_far_too_few_tokens(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, _ = load_checkpoint(checkpoint, torch.float32)
    for rows, lines in ((388 + 1024, 0), (388 + 1025, 1)):
        model.resize_token_embeddings(rows, mean_resizing=False)
        model.save_pretrained(checkpoint)
        load_checkpoint(checkpoint, torch.float32)
        assert len(caplog.messages) == lines
    assert "has 1413 rows of embeddings and its tokenizer only 388 tokens" in caplog.text


def test_a_tokenizer_of_another_model(checkpoint: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.add_tokens(["<calc>", "</calc>"])
    tokenizer.save_pretrained(checkpoint)
    with pytest.raises(UserError, match=r"tokenizer has 390 tokens and its model 388 rows"):
        load_checkpoint(checkpoint, torch.float32)


def test_a_tokenizer_whose_ids_leave_gaps(checkpoint: Path) -> None:
    model, _ = load_checkpoint(checkpoint, torch.float32)
    path = checkpoint / "tokenizer.json"
    stored = json.loads(path.read_text("utf-8"))
    vocabulary = stored["model"]["vocab"]
    word = next(one for one in sorted(vocabulary, key=len)[::-1] if one.isalpha())
    vocabulary[word] = 395
    path.write_text(json.dumps(stored), "utf-8")
    with pytest.raises(UserError, match=r"tokenizer has 396 tokens and its model 388 rows"):
        load_checkpoint(checkpoint, torch.float32)
    model.resize_token_embeddings(396, mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[:] = 1.0
        model.get_output_embeddings().weight[:] = -1.0
        model.get_output_embeddings().weight[395] = 1.0
    model.save_pretrained(checkpoint)
    (made,) = TransformersEngine(device="cpu").load(checkpoint).generate([(Request("A"), 0)])
    assert isinstance(made, Completion) and made.text.startswith(word.replace("Ġ", " ") * 3)


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s3://bucket/model", "an address, and checkpoints are read from this machine's folders"),
        ("https://huggingface.co/owner/name", "an address"),
        ("hf://owner/name", "an address"),
        ("a/b/c", "no such folder"),
        ("pyproject.toml", "a file and no GGUF file"),
    ],
)
def test_what_is_no_checkpoint_at_all(name: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^{name}: {message}[^\n]+$"):
        load_checkpoint(name, torch.float32)


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        raise AssertionError("the hub's client tries again")

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(time, "sleep", sleep)
    loading._hub_answers.cache_clear()
    for load in (load_config, load_tokenizer):
        with pytest.raises(UserError, match=r"^owner/name: cannot load [^\n]+; check the network"):
            load("owner/name")
    loading._hub_answers.cache_clear()

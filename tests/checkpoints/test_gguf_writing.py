"""GGUF files of our own: llama.cpp and our reader find the same numbers, tokens and texts there."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, pre_tokenizers

pytest.importorskip("gguf", reason="needs the package gguf: pip install gguf")

from cotdistill.checkpoints.gguf_writing import write_gguf
from cotdistill.checkpoints.loading import load_checkpoint
from cotdistill.errors import UserError
from cotdistill.testing.tiny import tiny_checkpoint

TEXTS = (
    "Q: Ana has 3 apples and buys 128 more. How many does she have now?",
    "  two  spaces\n\n\n12 + 3 = 15\t(tab) don't they've",
    "naïve café, 日本語, Straße, ½ ③ 🙂",
    "Is the coin heads up? ###</s> in a text",
    "<|note|>5 <mark> 6<|note|>",
    "",
)
DIGITS = {"type": "Digits", "individual_digits": True}

SERVER = """
import sys, time
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 256, 1, 1
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
time.sleep(300)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module", params=["gpt-2", "smollm"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny Llama and its tokenizer, which cuts words by one rule and by the other."""
    place = tiny_checkpoint(tmp_path_factory.mktemp("c"), "llama", texts=TEXTS, seed=3)
    model, tokenizer = load_checkpoint(place, torch.float32)
    tokenizer.add_tokens(["<|note|>"], special_tokens=True)
    tokenizer.add_tokens(["<mark>"])
    model.resize_token_embeddings(len(tokenizer) + 3, mean_resizing=False)  # rows that no token has
    if request.param == "smollm":
        whole = json.loads(tokenizer.backend_tokenizer.to_str())
        whole["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [DIGITS, whole["pre_tokenizer"]],
        }
        vocabulary = whole["model"]["vocab"]
        vocabulary["À?"] = vocabulary.pop("À")  # SmolLM2's lacks bytes that no text has
        core = Tokenizer.from_str(json.dumps(whole))
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=core, bos_token="<s>", eos_token="</s>"
        )
    tokenizer.chat_template = "{{ bos_token + messages[0].content + ' ###' }}"
    return model, tokenizer


@pytest.fixture(scope="module")
def written(source: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(*source, "tiny", path, "fp32")
    return path


def continued(model: Any, ids: list[int]) -> list[int]:
    made = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=16)
    return [int(token) for token in made[0, len(ids) :]]


def surely(model: Any, ids: list[int]) -> list[int]:
    """What a model continues with, up to where two tokens are nearly as likely: another runtime
    adds floats in another order.
    """
    tokens = continued(model, ids)
    logits = model(torch.tensor([[*ids, *tokens]])).logits[0, len(ids) - 1 : -1]
    best = logits.topk(2).values
    close = (best[:, 0] - best[:, 1] < 0.02).tolist()
    return tokens[: close.index(True)] if True in close else tokens


def test_our_reader_finds_the_same_numbers_tokens_and_texts(source: Any, written: Path) -> None:
    model, tokenizer = source
    again, reader = load_checkpoint(written, torch.float32)
    mine, theirs = model.state_dict(), again.state_dict()
    assert mine.keys() == theirs.keys() and len(mine) > 20
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert reader(text)["input_ids"] == ids
        assert continued(again, ids) == continued(model, ids)
    assert reader.chat_template == tokenizer.chat_template
    assert (reader.bos_token, reader.eos_token) == ("<s>", "</s>")


def test_bf16_holds_the_rounded_numbers(source: Any, tmp_path: Path) -> None:
    model, tokenizer = load_and_round(source)
    write_gguf(model, tokenizer, "tiny", tmp_path / "model.gguf", "bf16")
    again, _ = load_checkpoint(tmp_path / "model.gguf", torch.float32)
    theirs = again.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.float(), theirs[name]), name


def load_and_round(source: Any) -> Any:
    model, tokenizer = source
    copy = transformers.LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.to(torch.bfloat16), tokenizer


@pytest.fixture(scope="module")
def llama_cpp(written: Path) -> Iterator[str]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp comes with the package xllamacpp, which is not installed")
    command = [sys.executable, "-c", SERVER, str(written)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.communicate()


def post(url: str, **body: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def test_llama_cpp_cuts_and_continues_the_same(source: Any, llama_cpp: str) -> None:
    model, tokenizer = source
    compared = 0
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        cut = post(f"{llama_cpp}/tokenize", content=text, add_special=True, parse_special=True)
        assert cut["tokens"] == ids
        made = post(
            f"{llama_cpp}/completion", prompt=ids, n_predict=16, temperature=0, return_tokens=True
        )
        expected = [one for one in surely(model, ids) if one != tokenizer.eos_token_id]
        assert made["tokens"][: len(expected)] == expected
        compared += len(expected)
    assert compared > 30


def test_llama_cpp_reads_the_chat_template(source: Any, llama_cpp: str) -> None:
    model, tokenizer = source
    ids = tokenizer("Is it? ###")["input_ids"]
    expected = tokenizer.decode(surely(model, ids), skip_special_tokens=True)
    assert len(expected) > 5
    chat = [{"role": "user", "content": "Is it?"}]
    url = f"{llama_cpp}/v1/chat/completions"
    made = post(url, messages=chat, max_tokens=16, temperature=0)
    assert made["choices"][0]["message"]["content"].strip().startswith(expected.strip())


@pytest.mark.parametrize(
    ("family", "change", "reason"),
    [
        ("qwen2", {}, "its architecture is qwen2"),
        ("llama", {"attention_bias": True}, "has biases"),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2}}, "positions"),
        ("llama", {"pre_tokenizer": pre_tokenizers.Whitespace()}, "cuts words by a rule"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, family: Any, change: dict[str, Any], reason: str
) -> None:
    model, tokenizer = load_checkpoint(tiny_checkpoint(tmp_path / "c", family), torch.float32)
    if cutter := change.get("pre_tokenizer"):
        tokenizer.backend_tokenizer.pre_tokenizer = cutter
    else:
        for key, value in change.items():
            setattr(model.config, key, value)
    path = tmp_path / "model.gguf"
    with pytest.raises(UserError, match=rf"^tiny: [^\n]*{reason}[^\n]*convert_hf_to_gguf\.py"):
        write_gguf(model, tokenizer, "tiny", path, "fp32")
    assert not path.exists()

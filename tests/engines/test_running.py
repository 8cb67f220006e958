"""Forward passes: whatever a decoder-only model keeps in its cache, a batch answers as transformers
does item by item.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from cotdistill.checkpoints.loading import load_tokenizer
from cotdistill.checkpoints.text import TextCodec
from cotdistill.engines._running import CausalRunner, PaddedRunner, runner_for
from cotdistill.engines.transformers import ModelEngine
from cotdistill.records import Request
from cotdistill.testing.tiny import tiny_checkpoint

EAGER = {"attn_implementation": "eager"}
SIZE = {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "initializer_range": 0.3,
}
GROUPED = {
    **SIZE,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "head_dim": 8,
}
MODELS: dict[str, tuple[str, dict[str, Any], type]] = {
    "grouped": ("llama", GROUPED, CausalRunner),
    "eager": ("llama", {**GROUPED, **EAGER}, CausalRunner),
    "neox": ("gpt_neox", {**SIZE, "intermediate_size": 64}, CausalRunner),
    "opt": (
        "opt",
        {**SIZE, "ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.3},
        CausalRunner,
    ),
    "window": ("mistral", {**GROUPED, "sliding_window": 8}, PaddedRunner),
    "alibi": ("falcon", {**SIZE, "alibi": True, "new_decoder_architecture": False}, PaddedRunner),
    "bloom": (
        "bloom",
        {"hidden_size": 32, "n_head": 2, "n_layer": 2, "initializer_range": 0.3, **EAGER},
        PaddedRunner,
    ),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(tiny_checkpoint(tmp_path_factory.mktemp("llama"), "llama"))


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_answers_as_transformers_does_item_by_item(name: str, tokenizer: Any) -> None:
    family, settings, runner = MODELS[name]
    torch.manual_seed(0)
    ends = {
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "pad_token_id": tokenizer.pad_token_id,
    }
    attention = settings.get("attn_implementation", "sdpa")
    sizes = {key: value for key, value in settings.items() if key != "attn_implementation"}
    config = transformers.AutoConfig.for_model(family, vocab_size=len(tokenizer), **sizes, **ends)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation=attention
    ).eval()
    assert type(runner_for(model)) is runner
    codec = TextCodec(tokenizer, " ###", " ")
    engine = ModelEngine(model, codec, identity={}, batch_size=4, max_batch_tokens=4096)
    prompts = [
        f"Q: {'Ana has 3 apples. ' * (number % 4)}Is coin {number} heads up?" for number in range(9)
    ]
    requests = [Request(prompt, max_tokens=6 + 3 * place) for place, prompt in enumerate(prompts)]
    answers = engine.generate([(request, 0) for request in requests])
    for request, answer in zip(requests, answers, strict=True):
        ids = torch.tensor([codec.prompt_ids(request.prompt)])
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=request.max_tokens,
            pad_token_id=tokenizer.pad_token_id,
        )[0, ids.shape[1] :].tolist()
        assert answer.text == codec.after(ids[0].tolist(), made).removeprefix(" ")


def test_a_row_that_takes_anothers_place_goes_on_as_before(tokenizer: Any, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tiny_checkpoint(tmp_path, "qwen2")
    ).eval()
    prompts = [tuple(range(10, 10 + length)) for length in (5, 9, 7)]
    with torch.inference_mode():
        together = runner_for(model)
        together.admit(prompts)
        together.keep([2, 1])
        joined = together.admit([prompts[0], prompts[0]])
        after = together.step([3, 4, 5, 6])
        for place, (prompt, token) in enumerate(
            zip([prompts[2], prompts[1], prompts[0], prompts[0]], [3, 4, 5, 6], strict=True)
        ):
            alone = runner_for(model)
            first = alone.admit([prompt])
            if place > 1:
                torch.testing.assert_close(joined[place - 2], first[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(after[place], alone.step([token])[0], atol=1e-4, rtol=1e-4)

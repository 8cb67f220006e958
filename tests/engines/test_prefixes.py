from pathlib import Path
from typing import Any

import pytest
import torch

from cotdistill.engines._prefixes import Known, PrefixStore
from cotdistill.engines.transformers import ModelEngine, TransformersEngine
from cotdistill.records import Request
from cotdistill.testing.tiny import tiny_checkpoint


def known(*tokens: int) -> Known:
    states = torch.zeros(1, len(tokens), 2)
    return Known(tokens, ((states, states),))


def test_the_row_with_most_in_common_is_found() -> None:
    store = PrefixStore(10_000)
    short, long = known(*range(20)), known(*range(40))
    store.put(short)
    store.put(long)
    assert store.find((*range(38), 99, 99)) == (long, 38)
    assert store.find((*range(18), 99, 99))[1] == 18
    assert store.find(tuple(range(40))) == (long, 39)
    assert store.find((*range(10), 99, 99)) == (None, 0)
    assert store.find(()) == (None, 0)


def test_the_oldest_rows_make_room() -> None:
    store = PrefixStore(3 * known(*range(20)).bytes)
    for first in range(0, 80, 20):
        store.put(known(*range(first, first + 20)))
    assert store.find((*range(20), 99))[1] == 0
    assert store.find((*range(60, 80), 99))[1] == 20
    assert not PrefixStore(0).on


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2", "t5"])
def test_later_turns_are_answered_as_if_they_were_the_first(tmp_path: Path, family: Any) -> None:
    checkpoint = tiny_checkpoint(tmp_path, family)
    plain = TransformersEngine(prefix_megabytes=0).load(
        checkpoint, prompt_end=" ###", target_begin=" "
    )
    keeping = TransformersEngine(batch_size=3).load(checkpoint, prompt_end=" ###", target_begin=" ")
    assert isinstance(plain, ModelEngine)
    assert isinstance(keeping, ModelEngine)
    names = ("Ana", "Ben", "Cleo", "Dora", "Emil")
    prompts = [
        f"{name} has 3 apples and buys 8 more. How many apples does she have now?" for name in names
    ]
    for turn in range(3):
        requests = [
            (Request(prompt, max_tokens=6 + place), 0) for place, prompt in enumerate(prompts)
        ]
        expected = [completion.text for completion in plain.generate(requests)]
        assert [completion.text for completion in keeping.generate(requests)] == expected
        prompts = [
            f"{prompt} | {text} and {turn}" for prompt, text in zip(prompts, expected, strict=True)
        ]
    reused = keeping._prefixes.find(tuple(keeping.codec.prompt_ids(prompts[0])))[1]
    assert (reused > 0) is (family != "t5")

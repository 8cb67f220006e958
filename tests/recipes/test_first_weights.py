"""A fresh model looks words up before it has read anything."""

import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer

from cotdistill.checkpoints.bundled import locate
from cotdistill.lab.problem import NAMES, templates
from recipes.lab.train import SETTINGS, new_model


@pytest.mark.parametrize("link", ["", " has"])
def test_what_stood_behind_a_name_is_found_again(link: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(locate("lab"))
    model = new_model(replace(SETTINGS["teacher"], layers=2), len(tokenizer), tokenizer)
    found = []
    for number in range(40):
        rng = random.Random(number)
        held = dict(
            zip(
                rng.sample(NAMES, 4),
                rng.sample(templates("shuffled_objects")["things"], 4),
                strict=True,
            )
        )
        name = rng.choice(list(held))
        told = ", ".join(f"{one}{link} {thing}" for one, thing in held.items())
        ids = tokenizer(f"{told}, {name}{link}", add_special_tokens=False, return_tensors="pt")[
            "input_ids"
        ]
        with torch.no_grad():
            found.append(tokenizer.decode(model(ids).logits[0, -1].argmax()).strip() == held[name])
    assert sum(found) / len(found) > 0.4  # at random one of four colors, or of a thousand tokens

"""Measuring a lab model: the shipped base knows the language it was trained on, and a right
conclusion is told from a wrong one."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cotdistill.checkpoints.bundled import locate
from recipes.lab.measure import language


def test_the_shipped_base_adds_up_looks_words_up_and_holds_options_against_a_word() -> None:
    model = AutoModelForCausalLM.from_pretrained(locate("lab"), dtype=torch.float32).eval()
    with torch.inference_mode():
        measured = language(model, AutoTokenizer.from_pretrained(locate("lab")), 3)
    assert set(measured) == {"sums", "words", "options"}
    for right, asked in measured.values():
        assert asked >= 6
        assert right >= 0.8 * asked

"""The training loop: targets stand where they belong, and a stopped training goes on to the same
weights."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from cotdistill.checkpoints.bundled import locate
from recipes.lab.documents import Segment
from recipes.lab.train import IGNORED, SETTINGS, Row, batches, encode, rate_factor, train

TINY = dataclasses.replace(
    SETTINGS["base"],
    hidden=128,
    layers=2,
    inner=32,
    heads=4,
    tokens=12_000,
    batch_tokens=8192,
    chunk_documents=24,
)


def test_a_learned_segment_is_followed_by_the_end_also_when_text_goes_on() -> None:
    tokenizer = AutoTokenizer.from_pretrained(locate("lab"))
    document = (Segment("Q: Ana"), Segment(" has 3.", True), Segment("\nA:"), Segment(" 3", True))
    (row,) = encode([document], tokenizer)
    end = tokenizer.eos_token_id
    has, three, dot = tokenizer(" has 3.")["input_ids"]
    assert tokenizer.decode(row.ids) == "Q: Ana has 3.\nA: 3"
    assert row.targets == [IGNORED, IGNORED, has, three, dot, end, IGNORED, IGNORED, three, end]


def test_batches_hold_every_row_once_and_pad_on_the_right() -> None:
    rows = [Row([5] * n, [IGNORED] * (n - 1) + [7], [1.0] * n) for n in range(1, 30)]
    made = batches(rows, 64, 1, random.Random(0))
    assert sum(int((targets == 7).sum()) for _, targets, _ in made) == len(rows)
    assert all(ids.numel() <= 64 or len(ids) == 1 for ids, _, _ in made)
    assert all(bool((ids[:, 0] == 5).all()) for ids, _, _ in made)


def test_rate_rises_stays_and_falls() -> None:
    factors = [
        rate_factor(TINY, tokens, steps) for tokens, steps in [(0, 0), (6_000, 600), (11_999, 900)]
    ]
    assert factors[0] < 0.05 and factors[1] == 1.0 and factors[2] < 0.05
    assert rate_factor(dataclasses.replace(TINY, final_rate=0.4), 12_000, 900) == pytest.approx(0.4)


def test_a_stopped_training_continues_to_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read() -> list[int]:
        """Tokens read so far, of each line since the last call."""
        lines = capsys.readouterr().out.splitlines()
        return [int(line.split()[0].replace(",", "")) for line in lines if " tokens  loss" in line]

    for part in ("whole", "parts"):
        AutoTokenizer.from_pretrained(locate("lab")).save_pretrained(tmp_path / part)
    train("base", tmp_path / "whole", TINY, save_minutes=60)
    undisturbed = read()
    stopped = dataclasses.replace(TINY, tokens=6_000, decay_part=1e-9)
    train("base", tmp_path / "parts", stopped, save_minutes=60)
    before = read()
    train("base", tmp_path / "parts", TINY, save_minutes=60)
    assert before and before + read() == undisturbed, "it started from nothing"
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    parts = load_file(tmp_path / "parts" / "model.safetensors")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)

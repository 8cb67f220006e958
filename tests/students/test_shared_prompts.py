"""Examples that share their prompt: the prompt is computed once, and loss and gradients are those of separate rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from cotdistill.checkpoints.text import TextCodec
from cotdistill.records import Example
from cotdistill.students._data import Batches, Collator, Tokens, prepare
from cotdistill.students._trainer import TargetTrainer, can_share
from cotdistill.students.loading import build_base, codec_for
from cotdistill.students.settings import StudentSettings
from cotdistill.testing.tiny import Family, tiny_checkpoint

PROMPTS = ("Q: Ana has 3 apples", "Q: Is it?", "Q: Ana has 3 apples and buys 8 more. How many?")
EXAMPLES = [
    Example(
        "student",
        prompt,
        f"It is {number}. " * (1 + number % 3),
        group=prompt,
        weight=1.0 + number % 2,
    )
    for prompt in PROMPTS
    for number in range(5)
]


def make(folder: Path, family: Family) -> tuple[Any, TextCodec, list[Tokens]]:
    settings = StudentSettings(model=str(tiny_checkpoint(folder, family)))
    model, tokenizer = build_base(settings, seed=0)
    codec = codec_for(settings, tokenizer, encoder_decoder=model.config.is_encoder_decoder)
    return (
        model.eval(),
        codec,
        prepare(EXAMPLES, codec, max_prompt=100, max_target=100, context=256).rows,
    )


def loss_and_gradients(
    folder: Path, model: Any, rows: list[Tokens], *, share: bool
) -> tuple[float, dict[str, Any], int]:
    collator = Collator(share, end_padded=model.config.is_encoder_decoder)
    arguments = transformers.TrainingArguments(output_dir=str(folder), report_to=[], use_cpu=True)
    batches = Batches(rows, 8, 4, seed=0)
    trainer = TargetTrainer(
        rows=rows, batches=batches, collator=collator, inner=model, model=model, args=arguments
    )
    model.zero_grad()
    loss = trainer.compute_loss(model, collator(rows))
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients, collator.slots


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2", "t5"])
def test_same_loss_and_gradients_as_separate_rows(tmp_path: Path, family: Family) -> None:
    model, _, rows = make(tmp_path, family)
    assert can_share(model)
    apart, apart_gradients, apart_slots = loss_and_gradients(tmp_path, model, rows, share=False)
    shared, shared_gradients, shared_slots = loss_and_gradients(tmp_path, model, rows, share=True)
    assert shared == pytest.approx(apart, abs=1e-5)
    assert shared_gradients.keys() == apart_gradients.keys()
    for name, gradient in apart_gradients.items():
        torch.testing.assert_close(shared_gradients[name], gradient, rtol=1e-4, atol=1e-5)
    assert shared_slots < 0.7 * apart_slots


def test_loss_is_that_of_transformers_on_plain_rows(tmp_path: Path) -> None:
    model, _, rows = make(tmp_path, "llama")
    rows = [Tokens(row.prompt, row.target, 1.0, row.key) for row in rows]
    total = count = 0.0
    for row in rows:
        ids = torch.tensor([[*row.prompt, *row.target]])
        labels = torch.tensor([[*[-100] * len(row.prompt), *row.target]])
        total += float(model(input_ids=ids, labels=labels).loss.detach()) * len(row.target)
        count += len(row.target)
    ours, _, _ = loss_and_gradients(tmp_path, model, rows, share=True)
    assert ours == pytest.approx(total / count, abs=1e-5)


def test_by_mean_every_example_counts_alike(tmp_path: Path) -> None:
    model, _, rows = make(tmp_path, "llama")
    rows = [dataclasses.replace(row, by_mean=True) for row in rows]
    total = 0.0
    for row in rows:
        ids = torch.tensor([[*row.prompt, *row.target]])
        labels = torch.tensor([[*[-100] * len(row.prompt), *row.target]])
        total += row.weight * float(model(input_ids=ids, labels=labels).loss.detach())
    ours, _, _ = loss_and_gradients(tmp_path, model, rows, share=True)
    assert ours == pytest.approx(total / len(rows), abs=1e-5)


def test_batches_hold_every_example_once_keep_packs_together_and_repeat(tmp_path: Path) -> None:
    _, _, rows = make(tmp_path, "gpt2")
    batches = Batches(rows, 4, 2, seed=1)
    first = list(batches)
    assert sorted(place for batch in first for place in batch) == list(range(15))
    assert len(first) == len(batches) == 4
    assert sum(len({rows[place].key for place in batch}) for batch in first) < 15
    assert list(batches) == first
    batches.set_epoch(1)
    assert list(batches) != first


def test_processes_share_the_batches_evenly(tmp_path: Path) -> None:
    _, _, rows = make(tmp_path, "gpt2")
    whole = list(Batches(rows, 4, 1, seed=1))
    parts = [list(Batches(rows, 4, 1, seed=1, rank=rank, world=3)) for rank in range(3)]
    assert (
        [len(part) for part in parts]
        == [2, 2, 2]
        == [len(Batches(rows, 4, 1, seed=1, rank=r, world=3)) for r in range(3)]
    )
    assert {tuple(batch) for part in parts for batch in part} == {tuple(batch) for batch in whole}

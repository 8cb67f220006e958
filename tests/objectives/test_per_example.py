"""Every example counts alike, however long it is and whoever shares its batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cotdistill.contracts import TargetBatch, TrainSettings
from cotdistill.objectives.per_example import PerExample
from cotdistill.records import Example
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint, train_on


def test_label_and_rationale_count_as_their_weights() -> None:
    examples = [Example("s", "predict", "11"), Example("s", "explain", "3 + 8", weight=0.5)]
    nll = torch.ones(42, requires_grad=True)
    batch = TargetBatch(
        examples=examples,
        weights=torch.tensor([1.0, 0.5]),
        target_of=torch.tensor([0] * 2 + [1] * 40),
        lengths=torch.tensor([2.0, 40.0]),
        tokens=torch.zeros(42, dtype=torch.long),
        logits=torch.zeros(42, 5),
        nll=nll,
        reference_nll=torch.zeros(42),
    )
    loss = PerExample().loss(batch)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.5)
    assert nll.grad is not None
    masses = [float(nll.grad[:2].sum()), float(nll.grad[2:].sum())]
    assert masses == pytest.approx([1.0, 0.5])
    assert PerExample().size([40]) == PerExample().size([2]) == 1


def test_the_loss_does_not_depend_on_who_shares_a_batch(tmp_path: Path) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path / "base", "llama")))
    examples = [Example("s", f"How {n}?", f"It is {n}. " * (1 + 3 * (n % 2))) for n in range(4)]
    losses = []
    for size in (4, 2, 1):
        settings = TrainSettings(
            epochs=1, batch_size=size, gradient_accumulation=4 // size, selection="last"
        )
        result = train_on(examples, student, settings, tmp_path / str(size), objective=PerExample())
        losses += [entry["loss"] for entry in result.history if "loss" in entry]
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-4)

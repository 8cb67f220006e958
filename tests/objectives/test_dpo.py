"""Preference pairs: the loss by hand and by trl's formula, and margins that rise in training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from cotdistill.contracts import TargetBatch, TrainSettings
from cotdistill.errors import DataError
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.objectives.dpo import Dpo
from cotdistill.records import Example
from cotdistill.students._data import Collator, prepare
from cotdistill.students._loading import build_base
from cotdistill.students._scoring import Scorer
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint, train_on

PAIRS = [
    Example(
        "student",
        f"How many is {a} + {b}?",
        f"{a} + {b} = {a + b}. --> {a + b}",
        extra={"rejected": f"{a} + {b} = {a + b + 1}. --> {a + b + 1}"},
    )
    for a in range(1, 4)
    for b in range(1, 4)
]


def batch_of(nll: list[float], reference: list[float], weight: float = 1.0) -> TargetBatch:
    """One pair: a preferred target of two tokens and a rejected one of three."""
    return TargetBatch(
        examples=PAIRS[:1],
        weights=torch.tensor([weight]),
        target_of=torch.tensor([0, 0, 1, 1, 1]),
        lengths=torch.tensor([2.0, 3.0]),
        tokens=torch.zeros(5, dtype=torch.long),
        logits=torch.zeros(5, 4),
        nll=torch.tensor(nll),
        reference_nll=torch.tensor(reference),
    )


def test_loss_by_hand() -> None:
    # log π: -3 and -6; log π_ref: -4 and -5; so the margin is β (1 - (-1)) = 2 β.
    batch = batch_of([1.0, 2.0, 1.0, 2.0, 3.0], [2.0, 2.0, 1.0, 2.0, 2.0])
    plain = math.log(1 + math.exp(-0.2))
    assert float(Dpo(beta=0.1).loss(batch)) == pytest.approx(plain)
    assert float(Dpo(beta=0.1, alpha=2.0).loss(batch)) == pytest.approx(plain + 2 * 1.5)
    halved = batch_of([1.0, 2.0, 1.0, 2.0, 3.0], [2.0, 2.0, 1.0, 2.0, 2.0], weight=0.5)
    assert float(Dpo(beta=0.1).loss(halved)) == pytest.approx(plain / 2)
    assert Dpo().size([2, 3]) == 1


def test_loss_is_that_of_trls_sigmoid_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        nll, reference = 5 * torch.rand(2, 5, generator=generator)
        chosen, rejected = -nll[:2].sum(), -nll[2:].sum()
        ref_chosen, ref_rejected = -reference[:2].sum(), -reference[2:].sum()
        # trl/trainer/dpo_trainer.py, loss_type "sigmoid": delta of the two log ratios.
        delta = (chosen - ref_chosen) - (rejected - ref_rejected)
        expected = -torch.nn.functional.logsigmoid(0.3 * delta)
        ours = Dpo(beta=0.3).loss(batch_of(nll.tolist(), reference.tolist()))
        torch.testing.assert_close(ours, expected)


def margins(student: TransformersStudent, start: Path) -> list[float]:
    """log π(target) - log π(rejected) of every pair."""
    model, codec = build_base(student, start=start)
    rows = prepare(PAIRS, codec, Dpo(), TrainSettings()).rows
    collator = Collator(True, "row")
    with torch.no_grad():
        batch = Scorer(model.eval()).batch(model, collator(rows))
    sums = batch.per_target(-batch.nll).view(-1, 2)
    return (sums[:, 0] - sums[:, 1]).tolist()


def test_margins_rise_from_the_checkpoint_that_is_the_reference(tmp_path: Path) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path / "base", "llama")))
    settings = TrainSettings(epochs=8, batch_size=4, learning_rate=3e-3, selection="last")
    first, second = tmp_path / "first", tmp_path / "second"
    train_on(PAIRS, student, settings, first, objective=CrossEntropy())
    gentle = settings.model_copy(update={"learning_rate": 5e-4})
    result = train_on(PAIRS, student, gentle, second, objective=Dpo(), start=first)
    losses = [entry["loss"] for entry in result.history if "loss" in entry]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4)  # before any step both models agree
    assert losses[-1] < 0.8 * losses[0]
    before, after = margins(student, first), margins(student, second)
    assert all(one > other + 1 for one, other in zip(after, before, strict=True))


def test_an_example_without_its_rejected_target_is_refused(tmp_path: Path) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path / "base", "llama")))
    plain = [Example("student", "Is it?", "It is.")]
    with pytest.raises(DataError, match="take a method that makes pairs"):
        train_on(plain, student, TrainSettings(), tmp_path / "out", objective=Dpo())

"""The mean over all target tokens, as transformers computes it on plain rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cotdistill.contracts import Objective, TargetBatch, TrainSettings
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.records import Example
from cotdistill.students._data import Collator, TokenizedExample, prepare
from cotdistill.students._loading import build_base
from cotdistill.students._scoring import Scorer
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint, train_on

EXAMPLES = [
    Example("s", "Q: Is it?", f"It is {number}. " * (1 + number % 3), weight=1.0 + number % 2)
    for number in range(5)
]


def scored(folder: Path, objective: Objective) -> tuple[Any, list[TokenizedExample], TargetBatch]:
    model, codec = build_base(TransformersStudent(model=str(tiny_checkpoint(folder, "llama"))))
    rows = prepare(EXAMPLES, codec, objective, TrainSettings()).rows
    inputs = Collator(True, "row")(rows)
    return model.eval(), rows, Scorer(model).batch(model, inputs)


def mean_loss(model: Any, row: TokenizedExample) -> float:
    """The loss of transformers itself on one target."""
    ids = torch.tensor([[*row.prompt, *row.targets[0]]])
    labels = torch.tensor([[*[-100] * len(row.prompt), *row.targets[0]]])
    return float(model(input_ids=ids, labels=labels).loss.detach())


def test_loss_is_that_of_transformers_on_plain_rows(tmp_path: Path) -> None:
    model, rows, batch = scored(tmp_path, CrossEntropy())
    total = sum(row.weight * mean_loss(model, row) * len(row.targets[0]) for row in rows)
    assert float(CrossEntropy().loss(batch).detach()) == pytest.approx(total, abs=1e-4)
    assert [row.size for row in rows] == [len(row.targets[0]) for row in rows]


def test_weights_scale_the_loss(tmp_path: Path) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path / "base", "gpt2")))
    ignored = [Example("s", "Q: Is it?", "It is 1.", weight=0.0)] * 4
    settings = TrainSettings(epochs=1, batch_size=2, weight_decay=0.0, selection="last")
    result = train_on(ignored, student, settings, tmp_path / "out")
    assert [entry["loss"] for entry in result.history if "loss" in entry] == [0, 0]

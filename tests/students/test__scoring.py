"""Equal prompts of a batch are computed once: loss and gradients are those of separate rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cotdistill.contracts import Objective, TrainSettings
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.objectives.dpo import Dpo
from cotdistill.objectives.per_example import PerExample
from cotdistill.records import Example
from cotdistill.students._data import Collator, TokenizedExample, prepare
from cotdistill.students._loading import build_base
from cotdistill.students._scoring import Scorer, can_share
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import Family, tiny_checkpoint

PROMPTS = ("Q: Ana has 3 apples", "Q: Is it?", "Q: Ana has 3 apples and buys 8 more. How many?")
EXAMPLES = [
    Example(
        "student",
        prompt,
        f"It is {number}. " * (1 + number % 3),
        weight=1.0 + number % 2,
        extra={"rejected": f"It is not {number}."},
    )
    for prompt in PROMPTS
    for number in range(5)
]


def make(folder: Path, family: Family, objective: Objective) -> tuple[Any, list[TokenizedExample]]:
    student = TransformersStudent(model=str(tiny_checkpoint(folder, family)))
    model, codec = build_base(student)
    return model.eval(), prepare(EXAMPLES, codec, objective, TrainSettings(), 256).rows


def loss_and_gradients(
    model: Any, rows: list[TokenizedExample], objective: Objective, *, share: bool
) -> tuple[float, dict[str, Any], int]:
    collator = Collator(share, end_padded=model.config.is_encoder_decoder)
    model.zero_grad()
    loss = objective.loss(Scorer(model).batch(model, collator(rows)))
    loss = loss / sum(row.size for row in rows)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients, collator.slots


@pytest.mark.parametrize(
    "objective", [CrossEntropy(), PerExample(), Dpo()], ids=["cross_entropy", "per_example", "dpo"]
)
@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2", "t5"])
def test_same_loss_and_gradients_as_separate_rows(
    tmp_path: Path, family: Family, objective: Objective
) -> None:
    model, rows = make(tmp_path, family, objective)
    assert can_share(model)
    apart, apart_gradients, apart_slots = loss_and_gradients(model, rows, objective, share=False)
    shared, shared_gradients, slots = loss_and_gradients(model, rows, objective, share=True)
    assert shared == pytest.approx(apart, abs=1e-5)
    assert shared_gradients.keys() == apart_gradients.keys()
    for name, gradient in apart_gradients.items():
        torch.testing.assert_close(shared_gradients[name], gradient, rtol=1e-4, atol=1e-5)
    assert slots < 0.7 * apart_slots


def test_the_reference_of_a_row_is_what_the_model_says_of_it_alone(tmp_path: Path) -> None:
    model, rows = make(tmp_path, "llama", Dpo())
    scorer, collator = Scorer(model), Collator(True, end_padded=False)
    for row in scorer.with_reference(model, rows, collator, batch_size=4):
        alone = scorer.nll(model, [row], collator)
        assert row.reference == pytest.approx(alone, abs=1e-4)
        assert len(row.reference) == sum(map(len, row.targets))

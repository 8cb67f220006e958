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
from cotdistill.students._data import Collator, Form, TokenizedExample, pieces, prepare
from cotdistill.students._loading import build_base
from cotdistill.students._scoring import Scorer, form_for
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
    model: Any, batches: list[dict[str, Any]], objective: Objective
) -> tuple[float, dict[str, Any]]:
    """What the step over these batches computes; divided by its rows' sizes."""
    model.zero_grad()
    size = sum(row.size for inputs in batches for row in inputs["rows"])
    scorer = Scorer(model)
    losses = [objective.loss(scorer.batch(model, inputs)) / size for inputs in batches]
    torch.stack(losses).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return sum(float(loss.detach()) for loss in losses), gradients


def apart(rows: list[TokenizedExample], form: Form) -> list[dict[str, Any]]:
    """Every row a batch by itself, as the model's family reads it without packing."""
    plain: Form = "encoder" if form in ("encoder", "targets") else "padded"
    return [Collator(False, plain)([row]) for row in rows]


def assert_same(one: tuple[float, dict[str, Any]], other: tuple[float, dict[str, Any]]) -> None:
    assert one[0] == pytest.approx(other[0], abs=1e-5)
    assert one[1].keys() == other[1].keys()
    whole = sum(float(gradient.norm() ** 2) for gradient in other[1].values()) ** 0.5
    for name, gradient in one[1].items():
        assert float((gradient - other[1][name]).norm()) < 1e-5 * whole, name


@pytest.mark.parametrize(
    "objective", [CrossEntropy(), PerExample(), Dpo()], ids=["cross_entropy", "per_example", "dpo"]
)
@pytest.mark.parametrize(
    ("family", "form"),
    [(f, form) for f in ("gpt2", "llama", "qwen2") for form in ("row", "lines")]
    + [("llama", "padded"), ("t5", "encoder"), ("t5", "targets")],
)
def test_same_loss_and_gradients_as_separate_rows(
    tmp_path: Path, family: Family, form: Form, objective: Objective
) -> None:
    model, rows = make(tmp_path, family, objective)
    assert form_for(model) in ("row", "lines", "encoder", "targets")
    truth = loss_and_gradients(model, apart(rows, form), objective)
    for share in (False, True)[: 1 if form == "padded" else 2]:
        for limit in (None, 60):
            collator = Collator(share, form)
            batches = [collator(piece) for piece in pieces(rows, limit)]
            assert len(batches) == 1 or limit
            assert_same(loss_and_gradients(model, batches, objective), truth)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
def test_gradients_are_the_same_when_activations_are_computed_again(tmp_path: Path) -> None:
    model, rows = make(tmp_path, "llama", CrossEntropy())
    model.train()
    truth = loss_and_gradients(model, [Collator(True, "row")(rows)], CrossEntropy())
    model.gradient_checkpointing_enable({"use_reentrant": False})
    again = loss_and_gradients(model, [Collator(True, "row")(rows)], CrossEntropy())
    assert_same(again, truth)


def test_bfloat16_stays_near_float32(tmp_path: Path) -> None:
    """bfloat16 has 8 bits: a gradient may be off by some hundredths of its norm."""
    model, rows = make(tmp_path, "llama", CrossEntropy())
    batch = [Collator(True, "row")(rows)]
    loss, exact = loss_and_gradients(model, batch, CrossEntropy())
    with torch.autocast("cpu", torch.bfloat16):
        rounded_loss, rounded = loss_and_gradients(model, batch, CrossEntropy())
    assert rounded_loss == pytest.approx(loss, rel=0.01)
    for name, gradient in exact.items():
        assert float((rounded[name] - gradient).norm() / gradient.norm()) < 0.1, name


def test_a_packed_row_has_no_padding_and_reads_a_prompt_once(tmp_path: Path) -> None:
    _, rows = make(tmp_path, "llama", CrossEntropy())
    collator = Collator(True, "row")
    read = collator(rows)["input_ids"].numel()
    targets = sum(row.learnt - 1 for row in rows)
    assert read == sum(len(prompt) for prompt in {row.prompt for row in rows}) + targets
    assert collator.slots == collator.used


def test_the_reference_of_a_row_is_what_the_model_says_of_it_alone(tmp_path: Path) -> None:
    model, rows = make(tmp_path, "llama", Dpo())
    scorer, collator = Scorer(model), Collator(True, "row")
    for row in scorer.with_reference(model, rows, collator, batch_size=4):
        alone = scorer.nll(model, [row], collator)
        assert row.reference == pytest.approx(alone, abs=1e-4)
        assert len(row.reference) == sum(map(len, row.targets))


def test_likelihoods_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    model, rows = make(tmp_path, "llama", Dpo())
    mixed = rows[::2] + rows[1::2]
    scorer, collator = Scorer(model), Collator(True, "row")
    alone = [value for row in mixed for value in scorer.nll(model, [row], collator)]
    assert scorer.nll(model, mixed, collator) == pytest.approx(alone, abs=1e-4)

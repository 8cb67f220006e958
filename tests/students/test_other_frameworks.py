"""A student framework and an objective from another package, no file here being touched."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.contracts import Objective, TrainSettings
from cotdistill.pipeline import run_recipe
from cotdistill.plugins import build
from cotdistill.recipe import parse_recipe
from cotdistill.records import Example, Request
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint, train_on

STUDENT = """
    from collections import Counter

    from cotdistill.contracts import Student, TrainResult
    from cotdistill.records import Completion, Example
    from cotdistill.util.files import read_records

    class Majority(Student):
        '''Writes the most frequent target of its training.'''
        otherwise: str = "I do not know."

        def train(self, examples, out, *, objective, settings, **rest):
            targets = Counter(one.target for one in read_records(examples, Example))
            out.mkdir(parents=True)
            (out / "target.txt").write_text(targets.most_common(1)[0][0])
            return TrainResult(epoch=1, steps=1, examples=targets.total())

        def engine(self, checkpoint, engine, *, seed=0):
            learnt = (checkpoint / "target.txt").read_text() if checkpoint else self.otherwise
            return Constant(learnt)

    class Constant:
        def __init__(self, text):
            self.text = text

        def identity(self):
            return {"constant": self.text}

        def generate(self, batch):
            return [Completion(self.text, index) for _, index in batch]
"""

OBJECTIVE = """
    import torch
    from cotdistill.contracts import Objective

    class SoftTargets(Objective):
        '''Learns the teacher's distribution over the first token of a target.'''

        def size(self, lengths):
            return 1

        def loss(self, batch):
            total = batch.nll.sum() * 0
            for place, example in enumerate(batch.examples):
                first = batch.logits[batch.target_of == place][0].float().log_softmax(-1)
                for token, logprob in example.extra["logprobs"]:
                    total = total - torch.tensor(logprob).exp() * first[token]
            return total
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    package = tmp_path / "other_frameworks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "student.py").write_text(textwrap.dedent(STUDENT))
    (package / "objective.py").write_text(textwrap.dedent(OBJECTIVE))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package.name
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def test_another_framework_trains_and_answers_in_a_recipe(other: str, tmp_path: Path) -> None:
    for split, first in (("train", 1), ("test", 11)):
        rows = [
            {"question": f"How much is {n} - {n - 4}?", "answer": 4}
            for n in range(first, 9 + first)
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task: dict[str, Any] = {"name": "custom", "answer": "number"}
    paths = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "test")}
    recipe = {
        "name": "majority",
        "output": str(tmp_path),
        "task": {**task, "path": paths},
        "teacher": "scripted",
        "student": {"name": f"{other}.student:Majority"},
        "methods": ["answer_only"],
        "train": {"selection": "last", "objective": f"{other}.objective:SoftTargets"},
    }
    run = run_recipe(parse_recipe(recipe))
    (row,) = (row for row in run.scores() if row["method"] == "answer_only")
    assert (row["accuracy"], row["student"]) == (1.0, "student")


def test_an_objective_learns_a_teachers_distribution(other: str, tmp_path: Path) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path / "base", "llama")))
    objective = build("objectives", f"{other}.objective:SoftTargets", Objective)
    wanted = {20: 0.75, 30: 0.25}
    logprobs = [[20, -0.2877], [30, -1.3863]]
    examples = [Example("s", "Is it?", "It is.", extra={"logprobs": logprobs})] * 80
    settings = TrainSettings(epochs=2, batch_size=4, learning_rate=1e-2, selection="last")
    train_on(examples, student, settings, tmp_path / "out", objective=objective)
    probabilities = first_token(student, tmp_path / "out")
    for token, share in wanted.items():
        assert probabilities[token] == pytest.approx(share, abs=0.1)


def first_token(student: TransformersStudent, checkpoint: Path) -> list[float]:
    """Probabilities of the first token behind the prompt."""
    import torch

    from cotdistill.students._loading import build_base

    model, codec = build_base(student, start=checkpoint)
    with torch.no_grad():
        logits = model(torch.tensor([codec.prompt_ids(Request("Is it?").prompt)])).logits[0, -1]
    values: list[float] = logits.softmax(-1).tolist()
    return values

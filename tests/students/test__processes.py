"""Training spread over two processes by torchrun, with gloo on the CPU."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from cotdistill.contracts import TrainResult, TrainSettings
from cotdistill.errors import StoreError, UserError
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.records import Example
from cotdistill.students import _processes
from cotdistill.students._data import prepare
from cotdistill.students._loading import build_base
from cotdistill.students._processes import count_processes
from cotdistill.students._training import TrainingJob, make_trainer, train
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import Family, tiny_checkpoint, train_on
from cotdistill.util.files import read_json, read_records

EXAMPLES = [
    Example("student", f"Is it {number}?", f"It is {number + 1 + way}. " * (1 + number % 3))
    for number in range(7)
    for way in range(3)
]
SETTINGS = TrainSettings(epochs=2, batch_size=4, learning_rate=1e-2, selection="last")


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


# Families without dropout, which every process would draw for itself. T5 reads one embedding matrix
# by three names. Kept is how many steps the next call need not do again.
@pytest.mark.parametrize(
    ("family", "accumulation", "parts", "kept"),
    [
        ("llama", 2, [(2, "ddp", 2), (1, "ddp", 4), (2, "fsdp", 6)], [1, 3]),
        ("t5", 1, [(1, "ddp", 4), (2, "fsdp", 12)], [3]),
    ],
)
def test_any_number_of_processes_learns_what_one_learns_and_goes_on_with_another(
    tmp_path: Path,
    family: Family,
    accumulation: int,
    parts: list[tuple[int, str, int]],
    kept: list[int],
) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path / "base", family)))
    own = {"gradient_accumulation": accumulation, "save_minutes": 1e-9}
    settings = SETTINGS.model_copy(update=own)
    alone = train_on(EXAMPLES, student, settings, tmp_path / "alone", seed=3)
    resumed: list[int] = []
    lines: list[str] = []
    for processes, strategy, until in parts:

        def killing(count: int, note: str, until: int = until) -> None:
            if note == "resumed":
                resumed.append(count)
            elif f"step {until}/" in note and until < alone.steps:
                raise KeyboardInterrupt

        spread = settings.model_copy(update={"processes": processes, "strategy": strategy})
        with pytest.raises(KeyboardInterrupt) if until < alone.steps else nullcontext():
            told: Any = {"on_progress": killing, "log": lines.append}
            train_on(EXAMPLES, student, spread, tmp_path / "out", seed=3, **told)
    assert resumed == kept
    assert sum("holds a part of the model" in line for line in lines) == 1
    assert_equal(tmp_path / "out", tmp_path / "alone")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"base", "alone", "out", "alone-examples.jsonl", "out-examples.jsonl"}


def test_auto_is_one_process_for_each_visible_accelerator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path / "base", "gpt2")))
    few = SETTINGS.model_copy(update={"processes": "auto", "max_steps": 1})
    lines: list[str] = []
    train_on(EXAMPLES, student, few, tmp_path / "out", log=lines.append)
    assert lines[0].startswith("`train.processes: auto` trains on 1, ")
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 8)
    assert [count_processes(few.model_copy(update={"batch_size": size})) for size in (4, 16)] == [
        4,  # each has an example of a batch
        8,
    ]


def test_a_process_trains_on_one_accelerator_of_many(tmp_path: Path) -> None:
    base, files = tiny_checkpoint(tmp_path / "base", "gpt2"), dict.fromkeys(("start", "validation"))
    student, name = TransformersStudent(model=str(base)), {"name": "cross_entropy"}
    places = {"examples": tmp_path, "out": tmp_path / "out"}
    job = TrainingJob(student=student, objective=name, settings=SETTINGS, seed=0, **places, **files)
    inner, codec = build_base(student)
    rows = prepare(EXAMPLES, codec, CrossEntropy(), SETTINGS).rows
    trainer = make_trainer(inner, inner, rows, CrossEntropy(), job)
    trainer.args._n_gpu = 8  # as many as transformers saw
    assert trainer.args.n_gpu == 1 and trainer.args.train_batch_size == SETTINGS.batch_size
    assert trainer._wrap_model(inner) is inner


def assert_equal(spread: Path, alone: Path) -> None:
    """Compare two trainings by their losses and weights."""
    losses = [
        [one["loss"] for one in read_json(out / "training.json")["history"] if "loss" in one]
        for out in (spread, alone)
    ]
    assert losses[0][0] == pytest.approx(losses[1][0], abs=2e-5)
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)  # rounding grows from step to step
    assert read_json(spread / "config.json") == read_json(alone / "config.json")
    ours = load_file(spread / "model.safetensors")
    for name, tensor in load_file(alone / "model.safetensors").items():
        # AdamW turns the rounding of a gradient near zero into a whole step of one weight.
        assert float((ours[name] - tensor).abs().mean()) < 2e-4, name


def test_a_fault_of_a_process_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    student = TransformersStudent(model=str(tmp_path / "absent"))
    settings = SETTINGS.model_copy(update={"processes": 2})
    torchrun = tmp_path / "torchrun"  # what stands in its place says a line and dies
    monkeypatch.setattr(sys, "executable", str(torchrun))

    def train_with(line: str) -> None:
        torchrun.write_text(f"#!/bin/sh\necho '{line}'\nexit 1\n")
        torchrun.chmod(0o755)
        train_on(EXAMPLES, student, settings, tmp_path / "out")

    with pytest.raises(StoreError, match=r"ended with status 1; .*out\.log says why"):
        train_with("")
    monkeypatch.setenv("RANK", "1")  # of whichever process it is
    with pytest.raises(UserError):
        _processes.main(tmp_path / "out.job.json")
    with pytest.raises(UserError, match=r"^\S*absent: no such folder[^\n]*$"):
        train_with(capsys.readouterr().out.strip())


def test_settings_that_processes_cannot_share() -> None:
    with pytest.raises(ValidationError, match="set `selection` to loss or last"):
        TrainSettings(processes=2)
    with pytest.raises(ValidationError, match="raise `batch_size`"):
        TrainSettings(processes=4, batch_size=2, selection="last")
    with pytest.raises(ValidationError, match="compile: only a training in one process"):
        TrainSettings(selection="last", processes=2, compile=True)
    with pytest.raises(ValidationError, match="batch_tokens: processes wait"):
        TrainSettings(processes=2, batch_tokens=100, selection="last")
    with pytest.raises(ValidationError, match="set `processes` to auto"):
        TrainSettings(strategy="fsdp", selection="last")


def test_the_training_of_a_recipe_goes_to_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread: list[tuple[TrainingJob, int]] = []

    def alone(job: TrainingJob, count: int, *told: Any) -> TrainResult:
        spread.append((job, count))
        return train(job, None, *told)

    monkeypatch.setattr(_processes, "train_on_processes", alone)
    rows = [{"question": f"What is {n} plus 1?", "answer": n + 1} for n in range(20)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "both",
        "output": str(tmp_path),
        "task": {"name": "custom", "path": str(tmp_path / "q.jsonl"), "answer": "number"},
        "student": str(tiny_checkpoint(tmp_path / "base", "llama")),
        "methods": ["answer_only"],
        "limit": {"train": 8, "test": 2},
        "train": {"epochs": 1, "batch_size": 4, "processes": 2, "selection": "last"},
    }
    run_recipe(parse_recipe(recipe), stages=["generate", "curate", "train"])
    ((job, count),) = spread
    assert (job.settings.processes, count) == (2, 2)
    (examples,) = (tmp_path / "both").rglob("student/examples.jsonl")
    assert examples.samefile(job.examples)
    targets = {example.target for example in read_records(examples, Example)}
    assert targets <= {str(row["answer"]) for row in rows} and len(targets) == 8
    trained = read_json(examples.parent / "checkpoint" / "training.json")
    assert (trained["examples"], trained["steps"]) == (8, 2)

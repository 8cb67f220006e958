"""Preflight: all problems at once, each with its remedy, and nothing asked or paid before."""

from __future__ import annotations

import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cotdistill.errors import UserError
from cotdistill.pipeline import STAGES, run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.runs import preflight as module
from cotdistill.runs.preflight import PreflightError, preflight
from cotdistill.runs.run import Run
from cotdistill.testing.tiny import tiny_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("base"), "gpt2")


@pytest.fixture
def recipe(tmp_path: Path, base: Path) -> dict[str, Any]:
    rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(40)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "custom", "path": str(tmp_path / "questions.jsonl"), "answer": "number"}
    return {
        "name": "r",
        "output": str(tmp_path),
        "task": {**task, "label": "sums"},
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": {"model": str(base), "label": "tiny"},
        "methods": ["answer_only", "fine_tune_cot"],
        "train": {"epochs": 1},
    }


def problems(recipe: dict[str, Any], *stages: str) -> str:
    run = Run(parse_recipe(recipe))
    try:
        preflight(run, stages or tuple(STAGES))
    except PreflightError as error:
        return str(error)
    return ""


def test_a_good_recipe_passes(recipe: dict[str, Any]) -> None:
    recipe["train"]["objective"] = {"name": "per_example"}
    assert problems(recipe) == ""


def test_a_training_that_the_executor_cannot_place(recipe: dict[str, Any]) -> None:
    recipe["executor"] = {"name": "ray", "stages": {"train": {"gpus": 8}}}
    recipe["train"] |= {"processes": "auto", "selection": "last"}
    assert problems(recipe).startswith("executor ray: stages.train.gpus: 8 is what each process")


def test_all_problems_are_told_at_once_and_nothing_is_asked(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    recipe |= {"strategy": {"name": "first_step", "source": "guide"}}
    recipe["methods"] = [{"name": "tslm", "shots": 2}, "fine_tune_cot"]
    recipe["train"] = {"epochs": 1, "report_to": ["wandb"]}
    with pytest.raises(PreflightError) as caught:
        run_recipe(parse_recipe(recipe))
    told = str(caught.value)
    assert told.startswith("3 problems, found before anything was asked:")
    for part in ("shots", "guide", "wandb"):
        assert part in told
    assert not (tmp_path / "r" / "completions.sqlite").exists()


def test_a_student_whose_weights_are_damaged_is_found_before_the_teacher_is_asked(
    recipe: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(base, tmp_path / "damaged")
    weights = load_file(damaged / "model.safetensors")
    name = next(name for name in weights if name.endswith("ln_f.weight"))
    weights[name] = torch.full_like(weights[name], torch.nan)
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    recipe["student"] = str(damaged)
    assert "its loss on two examples is nan" in problems(recipe)
    (damaged / "model.safetensors").unlink()
    assert "no *.safetensors there" in problems(recipe)
    # A machine that only asks the teacher needs no student.
    assert problems(recipe, "generate", "curate") == ""


def test_selection_by_loss_needs_a_validation_split(recipe: dict[str, Any], tmp_path: Path) -> None:
    rows = Path(recipe["task"]["path"]).read_text("utf-8").splitlines(keepends=True)
    for split, part in (("train", rows[:30]), ("test", rows[30:])):
        (tmp_path / "split").mkdir(exist_ok=True)
        (tmp_path / "split" / f"{split}.jsonl").write_text("".join(part))
    recipe["task"] |= {"path": str(tmp_path / "split"), "validation": 0}
    recipe["train"] = {"epochs": 1, "selection": "loss"}
    assert "the validation split is empty" in problems(recipe)


def test_an_unpriced_guide_is_refused_before_the_teacher_is_paid(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x" * 20)
    recipe["guide"] = {"name": "openai", "model": "unheard-of", "base_url": "http://127.0.0.1:1/v1"}
    recipe["budget"] = {"usd": 1}
    assert "price of the guide is not known" in problems(recipe)


def test_a_full_disk_is_one_line(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    told = problems(recipe)
    assert "0.00 GB are free" in told and "\n" not in told and "`output`" in told


def test_what_is_finished_is_not_checked_again(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    recipe["methods"] = [{"name": "answer_only", "student_max_tokens": 4}]
    recipe |= {"limit": {"train": 4, "validation": 0, "test": 2}}
    recipe["train"] = {"epochs": 1, "selection": "last"}
    run_recipe(parse_recipe(recipe))
    recipe["train"] = {**recipe["train"], "report_to": ["wandb"]}
    assert problems(recipe) == ""
    with pytest.raises(UserError, match="wandb"):
        run_recipe(parse_recipe({**recipe, "seeds": [0, 1]}))

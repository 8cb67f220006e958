"""Training a method in a run: which epoch is kept, and what the report says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json
from cotdistill.util.progress import SilentProgress


def run(tmp_path: Path, *, rationales: bool = True, **train: Any) -> Path:
    rows = [
        {"question": f"{n} + 1?", "answer": str(n + 1)}
        | ({"rationale": f"{n} + 1 = {n + 1}."} if rationales else {})
        for n in range(30)
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "r",
        "output": str(tmp_path),
        "task": {"name": "custom", "path": str(tmp_path / "questions.jsonl"), "answer": "number"},
        "teacher": {"name": "scripted", "replies": " The answer is 7."},
        "student": str(tiny_checkpoint(tmp_path / "base", "gpt2")),
        "methods": [
            {
                "name": "fine_tune_cot",
                "student_max_tokens": 8,
                **({"source": "gold"} if rationales else {}),
            }
        ],
        "filters": [],
        "limit": {"train": 6, "validation": 3, "test": 2},
        "train": {"epochs": 2, "batch_size": 3, **train},
    }
    run_recipe(parse_recipe(recipe), SilentProgress())
    return tmp_path / "r"


@pytest.mark.parametrize(
    ("selection", "figure", "note"),
    [
        ("loss", "validation_loss", "lowest loss on the validation split"),
        ("accuracy", "accuracy", "best accuracy on the validation split"),
        ("last", None, "The epoch kept is the last one."),
    ],
)
def test_an_epoch_is_kept_by_what_the_recipe_says(
    tmp_path: Path, selection: str, figure: str | None, note: str
) -> None:
    folder = run(tmp_path, selection=selection)
    (training,) = folder.rglob("training.json")
    epochs = [entry for entry in read_json(training)["history"] if "epoch" in entry]
    assert len(epochs) == 2
    assert all(
        set(entry) == {"step", "epoch"} | ({figure} if figure else set()) for entry in epochs
    )
    report = (folder / "report.md").read_text()
    assert note in report and "The test split was scored once." in report
    rows = [row for row in read_json(folder / "scores.json")["rows"] if row["student"]]
    assert {row["selection"] for row in rows} == {selection}


def test_selection_on_the_test_split_is_never_called_scored_once(tmp_path: Path) -> None:
    report = (run(tmp_path, selection="oracle_test") / "report.md").read_text()
    assert "on the TEST split" in report and "scored once" not in report


def test_selection_by_loss_needs_gold_rationales(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs a gold rationale for every validation question"):
        run(tmp_path, rationales=False, selection="loss")

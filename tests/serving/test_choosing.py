"""The system that is asked: the one named, or the best on validation; never by test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cotdistill.errors import UserError
from cotdistill.runs.run import open_run
from cotdistill.serving.choosing import choose


def test_the_best_on_validation_is_chosen_and_a_teacher_only_by_name(
    folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    scores = json.loads((copy / "scores.json").read_text())
    for row in scores["rows"]:
        best = (row["method"], row["strategy"], row["split"]) == ("sci", "voting", "validation")
        row["by_seed"] = [0.9 if best else 0.5 if row["split"] == "validation" else 1.0]
    (copy / "scores.json").write_text(json.dumps(scores))
    chosen = choose(open_run(copy))
    assert (chosen.cell.method.label, chosen.strategy.label) == ("sci", "voting")
    assert choose(open_run(copy), strategy="greedy").cell.method.label == "cot"
    assert choose(open_run(copy), method="asked").cell.method.label == "asked"


def test_without_validation_the_choice_is_the_users(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "scores.json").unlink()
    with pytest.raises(UserError, match=r"choose with `--method`.*there are 'cot' with 'greedy'"):
        choose(open_run(copy))
    assert choose(open_run(copy), method="cot", strategy="greedy").validation is None


def test_a_run_that_another_version_trained_is_told(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    recipe = (copy / "recipe.yaml").read_text()
    (copy / "recipe.yaml").write_text(recipe.replace("epochs: 1", "epochs: 2"))
    with pytest.raises(UserError, match=r"train: not there, or made for another recipe"):
        choose(open_run(copy))


def test_what_is_not_there_is_listed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing with method 'cod'; there are 'cot' with"):
        choose(open_run(folder), method="cod")
    with pytest.raises(UserError, match=r"recipe.yaml: No such file"):
        open_run(tmp_path)


def test_a_strategy_that_needs_gold_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    text = (copy / "recipe.yaml").read_text()
    (copy / "recipe.yaml").write_text(
        text.replace("name: self_consistency", "name: pass_at_k")
        .replace("  n: 3", "  k: 3")
        .replace("  vote: plain\n", "")
    )
    with pytest.raises(UserError, match="pass_at_k looks at the gold answer"):
        choose(open_run(copy), method="cot", strategy="voting")

"""The grid of a run, its fingerprints, and its exemplars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError, RecipeError
from cotdistill.recipe import parse_recipe
from cotdistill.runs.run import Run
from cotdistill.util.progress import SilentProgress


def run(tmp_path: Path, **changes: Any) -> Run:
    recipe = {
        "name": "r",
        "output": str(tmp_path),
        "task": {"name": "custom", "path": str(tmp_path / "questions.jsonl"), "answer": "number"},
        "teacher": {"name": "scripted", "replies": ["7"]},
        "methods": ["answer_only"],
        "limit": {"train": 5, "test": 3},
        **changes,
    }
    return Run(parse_recipe(recipe), SilentProgress())


@pytest.fixture(autouse=True)
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    rows = [
        {"question": f"{n} + 1?", "answer": str(n + 1), "rationale": f"{n} + 1 = {n + 1}."}
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def labels(one: Run) -> list[tuple[str, str, int]]:
    return [(cell.method.label, cell.student.label, cell.seed) for cell in one.cells()]


def test_what_a_seed_or_student_cannot_change_is_there_once(tmp_path: Path) -> None:
    students = [{"model": "a", "label": "a"}, {"model": "b", "label": "b"}]
    methods = [
        "answer_only",
        {"name": "zero_shot", "role": "teacher", "label": "T"},
        {"name": "zero_shot", "role": "base", "label": "B"},
    ]
    one = run(tmp_path, students=students, methods=methods, seeds=[0, 1])
    assert labels(one) == [
        ("answer_only", "a", 0),
        ("answer_only", "a", 1),
        ("answer_only", "b", 0),
        ("answer_only", "b", 1),
        ("T", "a", 0),
        ("B", "a", 0),
        ("B", "b", 0),
    ]


def test_changed_data_is_noticed_everywhere(tmp_path: Path, questions: Path) -> None:
    def fingerprints(one: Run) -> list[str]:
        (cell,) = one.cells()
        task, method, strategy = cell.task, cell.method, one.recipe.strategies[0]
        units = (
            one.generate_artifact(task, method),
            one.curate_artifact(task, method),
            one.train_artifact(cell),
        )
        return [
            artifact.fingerprint
            for artifact in (*units, one.infer_artifact(cell, "test", strategy))
        ]

    before = fingerprints(run(tmp_path))
    assert fingerprints(run(tmp_path)) == before
    changed_filters = fingerprints(run(tmp_path, filters=["answer_match"]))
    assert [a == b for a, b in zip(before, changed_filters, strict=True)] == [
        True,
        False,
        False,
        False,
    ]
    changed_training = fingerprints(run(tmp_path, train={"epochs": 1}))
    assert [a == b for a, b in zip(before, changed_training, strict=True)] == [
        True,
        True,
        False,
        False,
    ]
    questions.write_text(questions.read_text().replace("+ 1?", "plus 1?"))
    assert not set(fingerprints(run(tmp_path))) & set(before)


def test_limits_take_the_front_of_a_split(tmp_path: Path) -> None:
    one = run(tmp_path)
    (task,) = one.recipe.tasks
    assert len(list(one.questions(task, "train"))) == 5
    assert list(one.questions(task, "train")) == list(task.plugin.questions("train"))[:5]
    assert one.digest(task.label, "test")[1] == 3


def test_exemplars_come_from_training(tmp_path: Path) -> None:
    one = run(tmp_path, methods=[{"name": "few_shot_cot", "shots": 3, "role": "base"}], limit={})
    (task,), (method,) = one.recipe.tasks, one.recipe.methods
    train = {question.id for question in one.questions(task, "train")}
    exemplars = one.exemplars(task, method)
    assert len(exemplars) == 3
    assert {exemplar.id for exemplar in exemplars} <= train
    assert one.exemplars(task, method) == exemplars


def test_exemplars_in_the_test_split_are_refused(tmp_path: Path) -> None:
    one = run(tmp_path, methods=[{"name": "few_shot_cot", "shots": 1, "role": "base"}])
    leaked = next(one.questions(one.recipe.tasks[0], "test"))
    path = tmp_path / "exemplars.jsonl"
    path.write_text(json.dumps(leaked.to_json()) + "\n")
    one = run(
        tmp_path,
        methods=[{"name": "few_shot_cot", "shots": 1, "role": "base"}],
        exemplars=str(path),
    )
    with pytest.raises(RecipeError, match="stands in the test split"):
        one.exemplars(one.recipe.tasks[0], one.recipe.methods[0])


def test_too_few_exemplars_are_explained(tmp_path: Path) -> None:
    one = run(tmp_path, methods=[{"name": "few_shot_cot", "shots": 8, "role": "base"}])
    with pytest.raises(RecipeError, match="shows 8 exemplars"):
        one.exemplars(one.recipe.tasks[0], one.recipe.methods[0])


def test_empty_split_is_explained(tmp_path: Path) -> None:
    one = run(tmp_path, evaluate_on=["ood"])
    with pytest.raises(DataError, match="the ood split is empty"):
        one.digest(one.recipe.tasks[0].label, "ood")

"""Escalation, measured on validation, checked on test, and at work in a loaded system."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.errors import UserError
from cotdistill.records import Question
from cotdistill.runs.run import Run, open_run
from cotdistill.serving.choosing import Contender, choose
from cotdistill.serving.measured import promise, table
from cotdistill.serving.measuring import check, measure
from cotdistill.serving.system import load_system


def opened(folder: Path, strategy: str = "greedy", method: str = "cot") -> tuple[Run, Contender]:
    run = open_run(folder)
    return run, choose(run, method=method, strategy=strategy)


def changed(folder: Path, place: Path, **settings: Any) -> Path:
    """Return a copy of a run folder with a changed recipe."""
    copy = shutil.copytree(folder, place / "copy")
    recipe = yaml.safe_load((copy / "recipe.yaml").read_text())
    (copy / "recipe.yaml").write_text(yaml.safe_dump({**recipe, **settings}, sort_keys=False))
    return copy


@pytest.fixture(scope="session")
def measured_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("measured") / "copy")
    for strategy in ("greedy", "voting"):
        measure(*opened(copy, strategy))
    return copy


@pytest.mark.parametrize("strategy", ["greedy", "voting"])
def test_the_curve_goes_from_the_student_to_the_teacher(
    measured_folder: Path, strategy: str
) -> None:
    run, chosen = opened(measured_folder, strategy)
    found = measure(run, chosen)
    rows = {
        row["method"]: row["accuracy"]
        for row in run.scores()
        if row["split"] == "validation" and row["strategy"] == strategy
    }
    alone, teacher = found.points[0], found.points[-1]
    assert (alone.accuracy, alone.share, alone.tokens) == (rows["cot"], 0, 0)
    assert (teacher.accuracy, teacher.share) == (rows["asked"], 1) and teacher.tokens > 0
    signals = [one.signal for one in found.measured if one.signal is not None]
    assert all(0 < one <= 1 if strategy == "voting" else one < 0 for one in signals)
    text = (found.artifact.folder / "escalation.md").read_text()
    assert text == table(found, found.points) and "95 % of the teacher's accuracy" in text


def test_a_threshold_is_checked_on_test_once(measured_folder: Path) -> None:
    run, chosen = opened(measured_folder)
    found = measure(run, chosen)
    made = check(run, chosen, found, found.operating(below=None, accuracy=1.0))
    assert (made.promised, made.accuracy, made.n, made.inside) == (1.0, 1.0, 8, True)
    assert check(run, chosen, found, found.operating(below=made.below, accuracy=None)) == made
    assert found.checks() == [made]
    other = check(run, chosen, found, found.operating(below=0.0, accuracy=None))
    assert other.share == 0 and other.tokens == 0 and len(found.checks()) == 2
    all_of_them = check(run, chosen, found, found.operating(below=1.0, accuracy=None))
    assert all_of_them.share == 1 and all_of_them.tokens > 9
    assert "3 thresholds have been checked" in promise(all_of_them, 3)


def test_a_system_asks_its_teacher_below_the_threshold_alone(measured_folder: Path) -> None:
    named = {"method": "cot", "strategy": "greedy"}
    with load_system(measured_folder, **named, below=1.0) as system:  # type: ignore[arg-type]
        before = open_run(measured_folder).spent()["teacher"]
        answer = system.answer("30 + 1?")
        assert answer.answer == "7" and "So it is" in answer.text
    after = open_run(measured_folder).spent()["teacher"]
    assert after["completions"] == before["completions"] + 1
    assert after["completion_tokens"] > before["completion_tokens"]
    with load_system(measured_folder, **named, below=0.0) as system:  # type: ignore[arg-type]
        assert "So it is" not in system.answer("30 + 1?").text


@pytest.mark.parametrize("trouble", ["budget", "teacher"])
def test_a_teacher_that_cannot_be_asked_leaves_the_students_answer(
    measured_folder: Path, tmp_path: Path, trouble: str
) -> None:
    import asyncio

    recipe = yaml.safe_load((measured_folder / "recipe.yaml").read_text())
    limits: dict[str, Any] = {"budget": {"tokens": 1}}
    copy = changed(measured_folder, tmp_path, **limits if trouble == "budget" else {})
    question = Question("asked", "31 + 1?")
    with load_system(copy, method="cot", strategy="greedy", below=1.0) as system:
        if trouble == "teacher":
            faulty = {**recipe["teacher"], "faults": {"31": "question failed"}}
            faulty.pop("label")
            plugin = type(system.run.recipe.teacher.plugin)(
                **{key: value for key, value in faulty.items() if key != "name"}
            )
            vars(system.run.recipe.teacher)["plugin"] = plugin
        reply = asyncio.run(system.reply(question))
    assert not reply.escalated and reply.confidence is not None
    assert ("budget is used up" if trouble == "budget" else "told to fail") in reply.failure
    with load_system(copy, method="cot", strategy="greedy") as alone:
        assert alone.answer(question) == reply.answer


def test_what_was_not_measured_or_cannot_be_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `cotdistill escalate` first"):
        load_system(folder, method="sci", strategy="greedy", accuracy=0.9)
    none = changed(folder, tmp_path, limit={"train": 8, "validation": 0, "test": 8})
    with pytest.raises(UserError, match="has no validation split, and confidence is calibrated"):
        measure(*opened(none))


def test_an_accuracy_out_of_reach_names_the_most(measured_folder: Path) -> None:
    found = measure(*opened(measured_folder))
    worst = [replaced(one, teacher=False, student=False) for one in found.measured]
    found = type(found)(found.artifact, worst)
    with pytest.raises(UserError, match=r"no threshold reaches it on validation; the most is 0\.0"):
        found.operating(below=None, accuracy=0.5)


def replaced(record: Any, **changes: Any) -> Any:
    return type(record)(**{**record.to_json(), **changes})

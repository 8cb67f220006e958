"""Trackers: curves and scores of every training, in the run folder and nowhere else."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cotdistill import plugins
from cotdistill.contracts import TrainSettings
from cotdistill.errors import PluginError, UserError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.runs.run import Run
from cotdistill.runs.tracking import tracked, training_name
from cotdistill.testing.tiny import tiny_checkpoint


def recipe(folder: Path, trackers: Any, **train: Any) -> dict[str, Any]:
    rows = [{"question": f"What is {n} plus 1?", "answer": str(n + 1)} for n in range(20)]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": "small",
        "output": str(folder),
        "task": {"name": "custom", "path": str(folder / "q.jsonl"), "answer": "number"},
        "teacher": {"name": "scripted", "replies": " The answer is 3."},
        "student": {"model": str(tiny_checkpoint(folder / "base", "gpt2")), "label": "tiny"},
        "methods": [{"name": "answer_only", "label": "answers"}],
        "train": {"epochs": 2, "report_to": trackers, **train},
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tracked")
    run = run_recipe(parse_recipe(recipe(folder, ["tensorboard", "trackio"])))
    run_recipe(run.recipe)  # tells no tracker anything again
    return run


def name(run: Run) -> str:
    return training_name(run, next(run.cells()), 0, "student")


def test_tensorboard_has_curves_scores_and_settings(both: Run) -> None:
    place = both.folder / "trackers" / "tensorboard" / name(both)
    assert name(both).startswith("q/answers/tiny/seed-0/student-")
    events = EventAccumulator(str(place)).Reload()
    steps = [one.step for one in events.Scalars("train/loss")]
    assert len(steps) >= 2 and steps == sorted(steps)
    assert events.Scalars("train/learning_rate")[0].value == pytest.approx(3e-4)
    assert len(events.Scalars("eval/accuracy")) == 2
    (score,) = events.Scalars("scores/test/greedy/accuracy")
    assert score.value == pytest.approx(both.scores()[0]["accuracy"])
    text = events.Tensors("cell/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "label: answers" in text and "seed: 0" in text


def test_trackio_has_the_same_in_the_run_folder(both: Run) -> None:
    (path,) = (both.folder / "trackers" / "trackio").glob("*.db")
    with contextlib.closing(sqlite3.connect(path)) as base:
        rows = base.execute("select run_name, metrics from metrics").fetchall()
    logged = [json.loads(metrics) for run, metrics in rows if run == name(both)]
    assert len(logged) == len(rows)
    assert {"train/loss", "eval/accuracy", "scores/test/greedy/accuracy"} <= {
        key for row in logged for key in row
    }
    scores = [row for row in logged if "scores/test/greedy/accuracy" in row]
    assert len(scores) == 1


def test_a_second_folder_in_one_process_is_refused_for_trackio(both: Run, tmp_path: Path) -> None:
    run = Run(parse_recipe(recipe(tmp_path, "trackio")))
    with (
        pytest.raises(UserError, match="in another process"),
        tracked(run, next(run.cells()), "name"),
    ):
        pass


def test_wandb_is_offline_in_the_run_folder_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(parse_recipe(recipe(tmp_path, "wandb")))
    cell = next(run.cells())
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with tracked(run, cell, "a/b/student-1234"):
        seen = dict(os.environ)
    assert seen["WANDB_MODE"] == "offline" and seen["WANDB_PROJECT"] == "small"
    assert Path(seen["WANDB_DIR"]) == run.folder / "trackers" and Path(seen["WANDB_DIR"]).is_dir()
    assert seen["WANDB_NAME"] == "a/b/student-1234" and seen["WANDB_RUN_ID"] == "a-b-student-1234"
    assert "WANDB_NAME" not in os.environ and "WANDB_DIR" not in os.environ
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    with tracked(run, cell, "a"):
        assert os.environ["WANDB_MODE"] == "online" and os.environ["WANDB_PROJECT"] == "mine"
    assert os.environ["WANDB_PROJECT"] == "mine"


def test_wandb_gets_scores_under_the_training_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []

    class FakeRun(types.SimpleNamespace):
        def update(self, values: Any, **_: Any) -> None:
            calls.append(("config", values))

        def log(self, values: Any) -> None:
            calls.append(("log", values))

    fake: Any = types.ModuleType("wandb")

    def init(**settings: Any) -> Any:
        calls.append(("init", {**settings, "id": os.environ["WANDB_RUN_ID"]}))
        run = FakeRun()
        run.config = run
        return run

    fake.__spec__ = ModuleSpec("wandb", None)
    fake.init = init
    fake.finish = lambda: calls.append(("finish", None))
    fake.teardown = lambda: calls.append(("teardown", None))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    from cotdistill.runs.tracking import log_scores

    run = Run(parse_recipe(recipe(tmp_path, "wandb")))
    log_scores(run, next(run.cells()), {"test/greedy/accuracy": 0.5})
    (_, begun), (_, config), (_, logged), (last, _), (end, _) = calls
    assert (last, end) == ("finish", "teardown")
    assert begun["name"] == name(run) and begun["project"] == "small"
    assert config["cotdistill"]["method"]["label"] == "answers"
    assert logged == {"scores/test/greedy/accuracy": 0.5}


def test_a_tracker_that_is_not_there_is_named_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        UserError, match=r"wandb is not installed: pip install 'cotdistill\[wandb\]'"
    ):
        run_recipe(parse_recipe(recipe(tmp_path, "wandb")))
    assert not (tmp_path / "small" / "completions.sqlite").exists()


def test_one_name_or_a_list_and_no_other(tmp_path: Path) -> None:
    assert TrainSettings(report_to="wandb").report_to == ("wandb",)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="report_to"):
        plugins.checked("train", TrainSettings, {"report_to": ["wandbb"]})

"""Trackers of a run's trainings: TensorBoard, Weights & Biases, Trackio (`train.report_to`).

The curves are written by transformers' own callbacks, which read the environment variables set
here while one model trains; the scores follow once the run is evaluated. Everything lies in
`trackers/` of the run folder: wandb is offline unless WANDB_MODE says otherwise.

    tensorboard --logdir runs/demo/trackers/tensorboard
    word_problems/fine_tune_cot/lab/seed-0/student-9706       the name of one training
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from cotdistill.errors import MissingExtra, UserError
from cotdistill.runs.grid import Cell
from cotdistill.runs.layout import Layout
from cotdistill.util.markdown import fenced


def refuse_missing_tracker(name: str) -> None:
    """Notice a tracker that is not installed.

    Raises:
        MissingExtra: the package is not there; the message has the pip command.
    """
    if importlib.util.find_spec(name) is None:
        raise MissingExtra(
            f"train.report_to: the tracker {name} is not installed: pip install "
            f"'cotdistill[{name}]', or take it out of `report_to`"
        )


def training_name(layout: Layout, cell: Cell, round: int, role: str) -> str:
    """Return the name of one training in every tracker: its cell, its role, what it is made from.

    A training from other inputs is another line of the chart, not the same one twice.
    """
    artifact = layout.train_artifact(cell)
    place = artifact.folder.parent.relative_to(layout.folder).as_posix()
    again = f"-round-{round}" if round else ""
    return f"{place}/{role}{again}-{artifact.fingerprint[:4]}"


@contextlib.contextmanager
def tracked(layout: Layout, cell: Cell, name: str) -> Iterator[None]:
    """Have the trackers of the cell's method write under this name while the block runs.

    Raises:
        UserError: trackio writes to another folder in this process already.
    """
    if not cell.method.train.report_to:
        yield
        return
    ours = _environment(layout, name)
    _refuse_another_folder(cell.method.train.report_to, ours)
    before = {key: os.environ.get(key) for key in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        _end_wandb()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key)
            else:
                os.environ[key] = value


def _environment(layout: Layout, name: str) -> dict[str, str]:
    """Return the variables that transformers' callbacks and the trackers read."""
    place = layout.folder.absolute() / "trackers"
    place.mkdir(parents=True, exist_ok=True)  # wandb writes elsewhere where there is none
    identifier = name.replace("/", "-")[-64:]
    return {
        "TENSORBOARD_LOGGING_DIR": str(place / "tensorboard" / name),
        "TRACKIO_DIR": str(place / "trackio"),
        "WANDB_DIR": str(place),
        "WANDB_MODE": os.environ.get("WANDB_MODE", "offline"),
        "WANDB_PROJECT": os.environ.get("WANDB_PROJECT", layout.recipe.name),
        "WANDB_NAME": name,
        "WANDB_RUN_ID": identifier,
        "WANDB_RESUME": "allow",
        "WANDB_SILENT": "true",
    }


def _end_wandb() -> None:
    """End wandb's run, which its callback leaves open, and have it read the environment anew."""
    loaded = sys.modules.get("wandb")
    if loaded is not None:
        vars(loaded)["finish"]()
        vars(loaded)["teardown"]()  # else the next training would have this one's name


def _refuse_another_folder(trackers: Sequence[str], ours: Mapping[str, str]) -> None:
    # Trackio reads its folder once, when it is imported.
    loaded = sys.modules.get("trackio.utils")
    if "trackio" in trackers and loaded is not None:
        folder = str(vars(loaded)["TRACKIO_DIR"])
        if folder != ours["TRACKIO_DIR"]:
            raise UserError(
                f"train.report_to: trackio writes to {folder} in this process already; run this "
                "recipe in another process"
            )


def log_scores(layout: Layout, cell: Cell, scores: Mapping[str, float]) -> None:
    """Add a cell's scores, and the recipe's entries of it, to the trackers of its last training."""
    rounds = cell.method.plugin.rounds
    name = training_name(layout, cell, len(rounds) - 1, rounds[-1][-1])
    entries = {
        "task": cell.task.resolved(),
        "teacher": layout.recipe.teacher.resolved(),
        "student": cell.student.resolved(),
        "method": cell.method.resolved(),
        "seed": cell.seed,
    }
    with tracked(layout, cell, name):
        for tracker in cell.method.train.report_to:
            refuse_missing_tracker(tracker)
            _LOG[tracker](name, {f"scores/{key}": one for key, one in scores.items()}, entries)


def _log_to_tensorboard(name: str, scores: Mapping[str, float], entries: Mapping[str, Any]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(os.environ["TENSORBOARD_LOGGING_DIR"]) as writer:
        for key, value in scores.items():
            writer.add_scalar(key, value)
        writer.add_text("cell", fenced(yaml.safe_dump(entries, sort_keys=False), "yaml"))


def _log_to_wandb(name: str, scores: Mapping[str, float], entries: Mapping[str, Any]) -> None:
    wandb = importlib.import_module("wandb")
    run = wandb.init(project=os.environ["WANDB_PROJECT"], name=name)
    run.config.update({"cotdistill": dict(entries)}, allow_val_change=True)
    run.log(dict(scores))


def _log_to_trackio(name: str, scores: Mapping[str, float], entries: Mapping[str, Any]) -> None:
    trackio = importlib.import_module("trackio")
    with contextlib.redirect_stdout(io.StringIO()):  # it greets
        run = trackio.init(project=os.environ["WANDB_PROJECT"], name=name, resume="allow")
        run.config.update({"cotdistill": dict(entries)})
        run.log(dict(scores))
        trackio.finish()


_LOG = {
    "tensorboard": _log_to_tensorboard,
    "wandb": _log_to_wandb,
    "trackio": _log_to_trackio,
}

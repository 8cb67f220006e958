"""After every epoch: score the model, save a checkpoint to resume from, keep best and last."""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from cotdistill.errors import UserError
from cotdistill.students._data import TokenizedExample
from cotdistill.students._trainer import TargetTrainer
from cotdistill.util.files import read_json, write_json


class EpochKeeper(TrainerCallback):  # type: ignore[misc]
    """Score, save and remember in `history.json`, written before the checkpoint it is about."""

    def __init__(
        self,
        trainer: TargetTrainer,
        work: Path,
        *,
        save_seconds: float,
        score: Callable[[], float] | None,
        validation: Sequence[TokenizedExample],
        on_progress: Callable[[int, str], None],
    ) -> None:
        self._trainer, self._work, self._save_seconds = trainer, work, save_seconds
        self._score, self._validation, self._on_progress = score, validation, on_progress
        self._last_save = self._start = time.monotonic()
        self._loss = ""
        self.history: list[dict[str, Any]] = []
        self.probes: dict[str, float] = {}
        self.earlier_seconds = 0.0

    def best(self) -> dict[str, Any]:
        """Return the epoch to keep: best score (the earlier of equals), or the last if unscored."""
        epochs = [entry for entry in self.history if "epoch" in entry]
        if self._score is not None:
            return max(epochs, key=lambda entry: float(entry["accuracy"]))
        if self._validation:
            return min(epochs, key=lambda entry: float(entry["validation_loss"]))
        return epochs[-1]

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        path = self._work / "history.json"
        if path.exists():
            noted, step = read_json(path), state.global_step
            self.history = [entry for entry in noted["history"] if entry["step"] <= step]
            self.probes = noted["probes"]
            self.earlier_seconds = noted["seconds"] if self.history else 0.0
        if state.global_step:
            self._on_progress(state.global_step, "resumed")

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.batches.set_epoch(int(state.epoch or 0))

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if logs and "loss" in logs:
            loss = float(logs["loss"])
            if not math.isfinite(loss):
                raise UserError(
                    f"the training loss is {loss} at step {state.global_step}: lower "
                    "`train.learning_rate`, or set `train.precision: float32`"
                )
            self._loss = f", loss {loss:.3f}"
            self.history.append({"step": state.global_step, "loss": round(loss, 5)})
            if control.should_save:  # this step's checkpoint is written next
                self._note()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        steps = f"step {state.global_step}/{state.max_steps}"
        self._on_progress(1, f"{steps}, epoch {state.epoch:.1f}{self._loss}")
        if time.monotonic() - self._last_save > self._save_seconds:
            control.should_save = True
            self._note()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        entry: dict[str, Any] = {"step": state.global_step, "epoch": math.ceil(state.epoch)}
        if self._score is not None:
            entry["accuracy"] = self._score()
        if self._validation:
            entry["validation_loss"] = round(self._validation_loss(), 6)
        self.history.append(entry)
        if args.report_to:
            figures = {key: entry[key] for key in ("accuracy", "validation_loss") if key in entry}
            self._trainer.log({f"eval_{key}": value for key, value in figures.items()})
        # Only the last epoch is kept where none is scored: weights and optimizer states of all
        # others would be written to be removed.
        chosen_later = self._score is not None or bool(self._validation)
        if chosen_later or state.global_step >= state.max_steps:
            self.probes[str(state.global_step)] = self._trainer.probe()
            control.should_save = True
        self._note()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._last_save = time.monotonic()
        if not state.is_world_process_zero:
            return
        keep = {state.global_step}
        if any("epoch" in entry for entry in self.history):
            keep.add(self.best()["step"])
        for folder in self._work.glob("checkpoint-*"):
            if int(folder.name.rpartition("-")[2]) not in keep:
                shutil.rmtree(folder)

    def _note(self) -> None:
        if not self._trainer.is_world_process_zero():
            return
        seconds = self.earlier_seconds + time.monotonic() - self._start
        noted = {"seconds": seconds, "history": self.history, "probes": self.probes}
        write_json(self._work / "history.json", noted)

    @torch.no_grad()
    def _validation_loss(self) -> float:
        model, args = self._trainer.model, self._trainer.args
        size = max(1, args.per_device_train_batch_size // args.world_size)
        training = model.training
        model.eval()
        total = 0.0
        for start in range(0, len(self._validation), size):
            inputs = self._trainer.collator(self._validation[start : start + size])
            inputs = self._trainer._prepare_inputs(inputs)
            total += float(self._trainer.summed_loss(model, inputs))
        model.train(training)
        return total / sum(row.size for row in self._validation)

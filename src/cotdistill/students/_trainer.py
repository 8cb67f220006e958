"""The transformers Trainer with batches and a loss of our own."""

from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import DataLoader
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from cotdistill.contracts import Objective
from cotdistill.students._data import (
    Collator,
    ExampleBatches,
    TokenizedExample,
    TokenizedExamples,
    pieces,
)
from cotdistill.students._scoring import Scorer
from cotdistill.students._sharding import Sharded, load_state, shard, whole_state, whole_weights
from cotdistill.util.files import writing


class TrainingArguments(transformers.TrainingArguments):  # type: ignore[misc]
    """Those of a process that trains on one device, however many are visible."""

    @property
    def n_gpu(self) -> int:
        # Of more the Trainer makes torch's DataParallel, which would cut packed rows into pieces.
        visible: int = super().n_gpu
        return min(1, visible)


class TargetTrainer(transformers.Trainer):  # type: ignore[misc]
    """A Trainer over rows of tokens; `inner` is the model inside whatever adapters wrap it.

    `sharded` spreads the model over the processes (`_sharding`).
    """

    def __init__(
        self,
        *,
        rows: list[TokenizedExample],
        batches: ExampleBatches,
        collator: Collator,
        objective: Objective,
        inner: Any,
        batch_tokens: int | None = None,
        sharded: bool = False,
        **kwargs: Any,
    ) -> None:
        self.sharded = sharded
        super().__init__(train_dataset=TokenizedExamples(rows), **kwargs)
        self._batch_tokens = batch_tokens
        self.batches, self.collator, self.objective = batches, collator, objective
        self._scorer, self._probed = Scorer(inner), rows
        self.model_accepts_loss_kwargs = True  # the loss is divided by the whole step's size
        self.loss_is_scaled_for_ga = True

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        if not self.sharded:  # or it may not fit; `shard` moves layer by layer
            super()._move_model_to_device(model, device)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        # Called once a checkpoint's weights are loaded.
        if self.sharded and self.optimizer is None:
            shard(self.model, self.args.device, mixed=self.args.bf16)
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
        return optimizer

    def _wrap_model(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        return Sharded(model) if self.sharded else super()._wrap_model(model, *args, **kwargs)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with writing(Path(self.args.output_dir)):
            super()._save_checkpoint(*args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if not self.sharded:
            super().save_model(output_dir, _internal_call)
            return
        weights = whole_weights(self.model)
        if self.args.should_save:
            self._save(output_dir, state_dict=weights)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.sharded:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = whole_state(self.optimizer)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self.sharded or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        load: Any = partial(torch.load, map_location="cpu", weights_only=True, mmap=True)
        load_state(self.optimizer, load(Path(checkpoint) / OPTIMIZER_NAME))
        self.lr_scheduler.load_state_dict(load(Path(checkpoint) / SCHEDULER_NAME))

    def get_train_dataloader(self) -> DataLoader[Any]:
        # Not through accelerate: `ExampleBatches` gives every process its own, and their order must
        # survive a resumption.
        return DataLoader(self.train_dataset, batch_sampler=self.batches, collate_fn=list)

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | None]:
        batches = list(islice(epoch_iterator, num_batches))
        size = sum(row.size for batch in batches for row in batch)
        return batches, self.accelerator.gather(torch.tensor(size, device=device)).sum()

    def training_step(
        self,
        model: Any,
        inputs: Any,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        # Gradients add up over the pieces: what a step holds does not depend on their number.
        step = super().training_step
        made = (self.collator(piece) for piece in pieces(inputs, self._batch_tokens))
        losses = [step(model, inputs, num_items_in_batch) for inputs in made]
        return torch.stack(losses).sum()

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # transformers' estimate knows neither shared prompts nor targets

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int = 1,
    ) -> torch.Tensor:
        # Gradients are averaged over the processes, and the loss is a sum over all of them.
        scale = self.accelerator.num_processes
        loss: torch.Tensor = self.summed_loss(model, inputs) / num_items_in_batch * scale
        return loss

    def summed_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """Return the sum of the losses of a batch's examples."""
        with self.accelerator.autocast():
            batch = self._scorer.batch(model, inputs)
        return self.objective.loss(batch)

    def probe(self, other: Any = None) -> float:
        """Return what the model, or `other`, computes on a few rows."""
        if other is not None:
            return Scorer(other).probe(other, self._probed, self.collator)
        # The layers of a model in parts have no weights but those of mixed precision.
        with self.accelerator.autocast() if self.sharded else nullcontext():
            return self._scorer.probe(self.model, self._probed, self.collator)

"""The transformers Trainer with batches and a loss of our own."""

from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import DataLoader

from cotdistill.contracts import Objective
from cotdistill.students._data import (
    Collator,
    ExampleBatches,
    TokenizedExample,
    TokenizedExamples,
    pieces,
)
from cotdistill.students._scoring import Scorer
from cotdistill.util.files import writing


class TargetTrainer(transformers.Trainer):  # type: ignore[misc]
    """A Trainer over rows of tokens; `inner` is the model inside whatever adapters wrap it."""

    def __init__(
        self,
        *,
        rows: list[TokenizedExample],
        batches: ExampleBatches,
        collator: Collator,
        objective: Objective,
        inner: Any,
        batch_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(train_dataset=TokenizedExamples(rows), **kwargs)
        self._batch_tokens = batch_tokens
        self.batches, self.collator, self.objective = batches, collator, objective
        self._scorer, self._probed = Scorer(inner), rows
        self.model_accepts_loss_kwargs = True  # the loss is divided by the whole step's size
        self.loss_is_scaled_for_ga = True

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with writing(Path(self.args.output_dir)):
            super()._save_checkpoint(*args, **kwargs)

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
        scorer = self._scorer if other is None else Scorer(other)
        return scorer.probe(other or self.model, self._probed, self.collator)

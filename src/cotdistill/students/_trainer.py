# ruff: noqa: N803, N806 - tensor names carry their shape
"""The transformers Trainer with our batches and our loss: target tokens only, weighted, each prompt computed once.

A causal model reads prompts first and keeps their keys and values; every target of a prompt then goes on from there.
That is the same loss as on separate rows (nothing of a target can be seen by another), at the cost of one prompt. An
encoder-decoder encodes a prompt once and decodes all its targets.

Shapes: N examples, U prompts, P prompt columns, T target columns, V vocabulary.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import DynamicCache, Trainer
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import BaseModelOutput

from cotdistill.students._data import IGNORED, Batches, Collator, Tokens

__all__ = ["TargetTrainer", "can_share", "target_loss"]


def can_share(model: Any) -> bool:
    """Whether targets can go on from a prompt's keys and values: a plain cache and positions given per row."""
    if model.config.is_encoder_decoder:
        return True
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    return plain and "position_ids" in inspect.signature(model.forward).parameters


class TargetTrainer(Trainer):  # type: ignore[misc]
    """A Trainer over `Tokens` rows; `inner` is the transformers model inside whatever adapters wrap it."""

    def __init__(
        self,
        *,
        rows: Sequence[Tokens],
        batches: Batches,
        collator: Collator,
        inner: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(train_dataset=_Rows(rows), data_collator=collator, **kwargs)
        self.batches, self.collator, self.inner = batches, collator, inner
        self._accepted = frozenset(inspect.signature(inner.forward).parameters)
        self.model_accepts_loss_kwargs = (
            True  # so that targets are counted over all accumulated batches
        )
        self.loss_is_scaled_for_ga = True

    def get_train_dataloader(self) -> DataLoader[Any]:
        # Not through accelerate: `Batches` gives every process its own, and their order must survive a resumption.
        return DataLoader(self.train_dataset, batch_sampler=self.batches, collate_fn=self.collator)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        with self.accelerator.autocast():
            logits_NTV = self._logits(model, inputs)
        loss = target_loss(logits_NTV, inputs["labels"], inputs["weights"])
        count = (
            num_items_in_batch
            if num_items_in_batch is not None
            else (inputs["shift_labels"] != IGNORED).sum()
        )
        scale = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        mean: torch.Tensor = loss / count * scale
        return mean

    def _logits(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if self.inner.config.is_encoder_decoder:
            return self._encoder_decoder_logits(model, inputs)
        if inputs["input_ids"].shape[0] < inputs["labels"].shape[0]:
            return self._continued_logits(model, inputs)
        targets_NT = inputs["labels"].clamp(min=0)
        real_NT = (inputs["labels"] != IGNORED).long()
        ids = torch.cat([inputs["input_ids"], targets_NT[:, :-1]], dim=1)
        mask = torch.cat([inputs["attention_mask"], real_NT[:, :-1]], dim=1)
        logits_NTV: torch.Tensor = self._forward(model, ids, mask, targets_NT.shape[1]).logits[
            :, -targets_NT.shape[1] :
        ]
        return logits_NTV

    def _continued_logits(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        prompt_of_N, mask_UP = inputs["prompt_of"], inputs["attention_mask"]
        cache = DynamicCache(config=self.inner.config)
        first_U1V: torch.Tensor = self._forward(
            model, inputs["input_ids"], mask_UP, 1, past_key_values=cache
        ).logits[:, -1:]
        if inputs["labels"].shape[1] == 1:
            return first_U1V[prompt_of_N]
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[prompt_of_N], layer.values[prompt_of_N]
        targets_NT = inputs["labels"].clamp(min=0)[:, :-1]
        mask = torch.cat(
            [mask_UP[prompt_of_N], (inputs["labels"] != IGNORED).long()[:, :-1]], dim=1
        )
        rest_NTV = self._forward(
            model, targets_NT, mask, targets_NT.shape[1], past_key_values=cache
        ).logits
        return torch.cat([first_U1V[prompt_of_N], rest_NTV], dim=1)

    def _forward(
        self, model: Any, ids: torch.Tensor, mask: torch.Tensor, keep: int, **extra: Any
    ) -> Any:
        if "position_ids" in self._accepted:
            extra["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if "logits_to_keep" in self._accepted:
            extra["logits_to_keep"] = keep
        return model(
            input_ids=ids, attention_mask=mask, use_cache="past_key_values" in extra, **extra
        )

    def _encoder_decoder_logits(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        prompt_of_N, labels_NT = inputs["prompt_of"], inputs["labels"]
        source: dict[str, Any] = {"input_ids": inputs["input_ids"]}
        if inputs["input_ids"].shape[0] < labels_NT.shape[0]:
            states = self.inner.get_encoder()(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            )
            source = {
                "encoder_outputs": BaseModelOutput(
                    last_hidden_state=states.last_hidden_state[prompt_of_N]
                )
            }
        decoder_ids = self.inner.prepare_decoder_input_ids_from_labels(labels=labels_NT)
        logits: torch.Tensor = model(
            **source,
            attention_mask=inputs["attention_mask"][prompt_of_N],
            decoder_input_ids=decoder_ids,
            use_cache=False,
        ).logits
        return logits


def target_loss(
    logits_NTV: torch.Tensor, labels_NT: torch.Tensor, weights_N: torch.Tensor
) -> torch.Tensor:
    """Sum of the weighted negative log-likelihoods (nats, float32) of all target tokens."""
    real_NT = labels_NT != IGNORED
    losses = torch.nn.functional.cross_entropy(
        logits_NTV[real_NT].float(), labels_NT[real_NT], reduction="none"
    )
    return (losses * weights_N[:, None].expand_as(real_NT)[real_NT]).sum()


class _Rows(torch.utils.data.Dataset[Tokens]):
    def __init__(self, rows: Sequence[Tokens]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Tokens:
        return self._rows[place]


def world() -> tuple[int, int]:
    """Rank of this process and number of processes, as torchrun and accelerate set them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))

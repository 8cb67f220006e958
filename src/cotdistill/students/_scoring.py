# ruff: noqa: N806 - tensor names carry their shape
"""The forward pass over a batch of targets: logits at targets only, each prompt computed once.

A causal model reads prompts first and keeps their keys and values; every target of a prompt then
continues from there. That is the same loss as on separate rows (nothing of a target can be seen by
another), at the cost of one prompt. An encoder-decoder encodes a prompt once and decodes all its
targets.

Shapes: N targets, U prompts, P prompt columns, T target columns, K target tokens, V vocabulary.
"""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import BaseModelOutput

from cotdistill.contracts import TargetBatch
from cotdistill.students._data import IGNORED, Collator, TokenizedExample

_PROBED = 8
"""TokenizedExamples whose mean loss stands for what a model computes."""


def can_share(model: Any) -> bool:
    """Return whether targets can continue from a prompt's keys and values: a plain cache and
    positions given per row."""
    if model.config.is_encoder_decoder:
        return True
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    return plain and "position_ids" in inspect.signature(model.forward).parameters


class Scorer:
    """Scores batches of a `Collator`; `inner` is the model inside whatever wraps it in training."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._accepted = frozenset(inspect.signature(inner.forward).parameters)

    def batch(self, model: Any, inputs: dict[str, Any]) -> TargetBatch:
        """Score the targets of a batch with `model`, which is `inner` or wraps it."""
        rows, labels_NT = inputs["rows"], inputs["labels"]
        real_NT = labels_NT != IGNORED
        logits_KV = self._logits(model, inputs)[real_NT]
        tokens_K = labels_NT[real_NT]
        nll_K = torch.nn.functional.cross_entropy(logits_KV.float(), tokens_K, reduction="none")
        target_of_NT = torch.arange(len(labels_NT), device=tokens_K.device)[:, None]
        reference = [value for row in rows for value in row.reference]
        return TargetBatch(
            examples=[row.example for row in rows],
            weights=nll_K.new_tensor([row.weight for row in rows]),
            target_of=target_of_NT.expand_as(real_NT)[real_NT],
            lengths=real_NT.sum(dim=1).float(),
            tokens=tokens_K,
            logits=logits_KV,
            nll=nll_K,
            reference_nll=nll_K.new_tensor(reference) if reference else torch.zeros_like(nll_K),
        )

    @torch.no_grad()
    def nll(self, model: Any, rows: Sequence[TokenizedExample], collate: Collator) -> list[float]:
        """Return the negative log-likelihood of every target token, the model being at rest."""
        training = model.training
        model.eval()
        inputs = {
            key: value.to(model.device) if isinstance(value, torch.Tensor) else value
            for key, value in collate(rows).items()
        }
        values: list[float] = self.batch(model, inputs).nll.tolist()
        model.train(training)
        return values

    def with_reference(
        self, model: Any, rows: Sequence[TokenizedExample], collate: Collator, batch_size: int
    ) -> list[TokenizedExample]:
        """Return the rows with the model's own likelihoods as their reference."""
        order = sorted(range(len(rows)), key=lambda place: rows[place].length)  # little padding
        scored = dict[int, TokenizedExample]()
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            values = iter(self.nll(model, [rows[place] for place in places], collate))
            for place in places:
                own = tuple(next(values) for _ in range(rows[place].learnt))
                scored[place] = replace(rows[place], reference=own)
        return [scored[place] for place in range(len(rows))]

    def probe(self, model: Any, rows: Sequence[TokenizedExample], collate: Collator) -> float:
        """Return the mean loss per token (nats) of the first rows: two copies of a model agree."""
        values = self.nll(model, rows[:_PROBED], collate)
        return sum(values) / len(values)

    def _logits(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if self._inner.config.is_encoder_decoder:
            return self._encoder_decoder_logits(model, inputs)
        if inputs["input_ids"].shape[0] < inputs["labels"].shape[0]:
            return self._continued_logits(model, inputs)
        targets_NT = inputs["labels"].clamp(min=0)
        real_NT = (inputs["labels"] != IGNORED).long()
        ids = torch.cat([inputs["input_ids"], targets_NT[:, :-1]], dim=1)
        mask = torch.cat([inputs["attention_mask"], real_NT[:, :-1]], dim=1)
        width = targets_NT.shape[1]
        logits_NTV: torch.Tensor = self._forward(model, ids, mask, width)[:, -width:]
        return logits_NTV

    def _continued_logits(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        prompt_of_N, mask_UP = inputs["prompt_of"], inputs["attention_mask"]
        cache = DynamicCache(config=self._inner.config)
        first = self._forward(model, inputs["input_ids"], mask_UP, 1, past_key_values=cache)
        first_U1V: torch.Tensor = first[:, -1:]
        if inputs["labels"].shape[1] == 1:
            return first_U1V[prompt_of_N]
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[prompt_of_N], layer.values[prompt_of_N]
        targets_NT = inputs["labels"].clamp(min=0)[:, :-1]
        real_NT = (inputs["labels"] != IGNORED).long()[:, :-1]
        mask = torch.cat([mask_UP[prompt_of_N], real_NT], dim=1)
        width = targets_NT.shape[1]
        rest_NTV = self._forward(model, targets_NT, mask, width, past_key_values=cache)
        return torch.cat([first_U1V[prompt_of_N], rest_NTV], dim=1)

    def _forward(
        self, model: Any, ids: torch.Tensor, mask: torch.Tensor, keep: int, **extra: Any
    ) -> Any:
        if "position_ids" in self._accepted:
            extra["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if "logits_to_keep" in self._accepted:
            extra["logits_to_keep"] = keep
        extra["use_cache"] = "past_key_values" in extra
        return model(input_ids=ids, attention_mask=mask, **extra).logits

    def _encoder_decoder_logits(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        prompt_of_N, labels_NT = inputs["prompt_of"], inputs["labels"]
        source: dict[str, Any] = {"input_ids": inputs["input_ids"]}
        if inputs["input_ids"].shape[0] < labels_NT.shape[0]:
            encoder, mask_UP = self._inner.get_encoder(), inputs["attention_mask"]
            states = encoder(**source, attention_mask=mask_UP).last_hidden_state[prompt_of_N]
            source = {"encoder_outputs": BaseModelOutput(last_hidden_state=states)}
        decoder_ids = self._inner.prepare_decoder_input_ids_from_labels(labels=labels_NT)
        logits: torch.Tensor = model(
            **source,
            attention_mask=inputs["attention_mask"][prompt_of_N],
            decoder_input_ids=decoder_ids,
            use_cache=False,
        ).logits
        return logits

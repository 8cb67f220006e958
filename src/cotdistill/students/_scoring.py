# ruff: noqa: N806 - tensor names carry their shape
"""The forward pass over a batch of targets: logits at targets only, each prompt computed once.

A causal model reads a packed row (`_packing`), or prompts with their targets, padded, where it
cannot. An encoder-decoder encodes a prompt once and decodes all its targets, in a row where it can.

Shapes: N targets, U prompts, T target columns, K target tokens, V vocabulary.
"""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput

from cotdistill.contracts import TargetBatch
from cotdistill.students._data import IGNORED, Collator, Form, TokenizedExample
from cotdistill.students._likelihood import token_likelihood
from cotdistill.students._packing import ATTENTION, can_pack, can_pack_targets, limit_distances

_PROBED = 8
"""TokenizedExamples whose mean loss stands for what a model computes."""


def form_for(model: Any) -> Form:
    """Return how batches for this model are laid out, on the device that training takes."""
    accelerated = torch.accelerator.is_available()
    if model.config.is_encoder_decoder:
        return "targets" if can_pack_targets(model) and not accelerated else "encoder"
    if not can_pack(model):
        return "padded"
    return "lines" if accelerated else "row"


class Scorer:
    """Scores batches of a `Collator`; `inner` is the model inside whatever wraps it in training."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._accepted = frozenset(inspect.signature(inner.forward).parameters)
        form = form_for(inner)
        if form in ("row", "lines", "targets"):
            inner.set_attn_implementation(ATTENTION)
        if form == "targets":
            limit_distances(inner)

    def batch(self, model: Any, inputs: dict[str, Any]) -> TargetBatch:
        """Score the targets of a batch with `model`, which is `inner` or wraps it."""
        logits_KV, tokens_K = self._logits(model, inputs), inputs["tokens"]
        nll_K = token_likelihood(logits_KV, tokens_K)
        reference = inputs["reference"]
        return TargetBatch(
            examples=[row.example for row in inputs["rows"]],
            weights=inputs["weights"],
            target_of=inputs["target_of"],
            lengths=inputs["lengths"],
            tokens=tokens_K,
            logits=logits_KV,
            nll=nll_K,
            reference_nll=reference if len(reference) else torch.zeros_like(nll_K),
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
        values = iter(self.batch(model, inputs).nll.tolist())
        model.train(training)
        # A batch has its own order: equal prompts stand together.
        own = {id(row): [next(values) for _ in range(row.learnt)] for row in inputs["rows"]}
        return [value for row in rows for value in own[id(row)]]

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
        if "packed" in inputs:
            logits_1KV: torch.Tensor = self._packed_logits(model, inputs)
            return logits_1KV.flatten(0, 1)
        if "targets" in inputs:
            return self._row_of_targets_logits(model, inputs)
        encoder = self._inner.config.is_encoder_decoder
        logits_NTV = (self._encoder_decoder_logits if encoder else self._padded_logits)(
            model, inputs
        )
        return logits_NTV.flatten(0, 1).index_select(0, inputs["read"])

    def _packed_logits(self, model: Any, inputs: dict[str, Any]) -> Any:
        ids_1L = inputs["input_ids"]
        # A mask of four dimensions reaches the attention as it is; where that needs none, an empty
        # one keeps transformers from making its own.
        mask = inputs.get("visible", ids_1L.new_empty((1, 1, 1, 1)))
        return model(
            input_ids=ids_1L,
            attention_mask=mask,
            position_ids=inputs["position_ids"],
            logits_to_keep=inputs["read"],
            packed=inputs["packed"],
            use_cache=False,
        ).logits

    def _padded_logits(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        labels_NT, prompt_of_N = inputs["labels"], inputs["prompt_of"]
        width, real_NT = labels_NT.shape[1], (labels_NT != IGNORED).long()
        before = (inputs["input_ids"][prompt_of_N], inputs["attention_mask"][prompt_of_N])
        ids = torch.cat([before[0], labels_NT.clamp(min=0)[:, :-1]], dim=1)
        mask = torch.cat([before[1], real_NT[:, :-1]], dim=1)
        extra: dict[str, Any] = {}
        if "position_ids" in self._accepted:
            extra["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        if "logits_to_keep" in self._accepted:
            extra["logits_to_keep"] = width
        output = model(input_ids=ids, attention_mask=mask, use_cache=False, **extra)
        logits_NTV: torch.Tensor = output.logits[:, -width:]
        return logits_NTV

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

    def _row_of_targets_logits(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        shift = self._inner.prepare_decoder_input_ids_from_labels
        logits_1KV: torch.Tensor = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            decoder_input_ids=shift(labels=inputs["labels"]).flatten()[None, inputs["read"]],
            targets=inputs["targets"],
            use_cache=False,
        ).logits
        return logits_1KV.flatten(0, 1)

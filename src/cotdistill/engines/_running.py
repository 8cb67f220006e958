# ruff: noqa: N803, N806 - tensor names carry their shape
"""A model's forward passes over a changing batch: rows are admitted, advance one token at a time, and are dropped.

Causal models get each row's own positions, and a slot of the cache for each row where their layers allow it (`_slots`).
Encoder-decoder models get encoder padding; their rows all start at the first decoder position, so decoders with absolute
positions are right as well.

Shapes: B rows, N rows being admitted, U different prompts among them, W tokens of each that are computed, S and C columns of the
cache, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import torch
from transformers import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from cotdistill.checkpoints.loading import context_limit
from cotdistill.engines import _cache
from cotdistill.engines._prefixes import PrefixStore
from cotdistill.engines._slots import SlotCache, fits

__all__ = ["CausalRunner", "EncoderDecoderRunner", "PaddedRunner", "Runner", "runner_for"]

_SHARED_PREFIX = 24
"""From this many common first tokens on, different prompts' common beginning is computed once."""


class Runner(Protocol):
    """The forward passes that the decoding loop needs."""

    @property
    def dead_share(self) -> int:
        """Finished rows are dropped once they are one in so many: dropping costs something, as does a row that rides along."""
        ...

    @property
    def joins(self) -> bool:
        """Whether rows can join others; if not, they come in when all others are gone."""
        ...

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Adds a row per prompt and returns the logits (float32, N × V) of each one's first token."""
        ...

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Takes the last token of every row and returns the logits (float32, B × V) of its next."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Keeps these rows, in this order, and drops all others."""
        ...

    def left(self, prompt: tuple[int, ...]) -> int:
        """How many tokens of a prompt are to be computed: all, or those behind a beginning that is known."""
        ...

    def remember(self, row: int, tokens: tuple[int, ...]) -> None:
        """Keeps what was computed for the tokens of a row that is about to be dropped."""
        ...


def runner_for(model: Any, prefixes: PrefixStore) -> Runner:
    """The runner for this model's family."""
    if model.config.is_encoder_decoder:
        return EncoderDecoderRunner(model)
    return (
        CausalRunner(model, prefixes)
        if "position_ids" in _accepted(model) and fits(model)
        else PaddedRunner(model)
    )


def _accepted(model: Any) -> Collection[str]:
    return inspect.signature(model.forward).parameters


def _unique(prompts: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, ...]], list[int]]:
    """The different prompts in order, and for each prompt its place among them."""
    places: dict[tuple[int, ...], int] = {}
    rows = [places.setdefault(prompt, len(places)) for prompt in prompts]
    return list(places), rows


def _common_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many first tokens all prompts have in common, leaving at least one token of each."""
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return length


class CausalRunner:
    """Forward passes of a decoder-only model whose rows each have a slot of the cache: they join and leave at any time."""

    joins = True
    dead_share = 16

    def __init__(self, model: Any, prefixes: PrefixStore) -> None:
        self._model = model
        self._prefixes = prefixes
        self._device = model.device
        self._additive = model.config.get_text_config(decoder=True)._attn_implementation == "eager"
        limit = context_limit(model)
        self._last_position = torch.iinfo(torch.long).max if limit is None else limit - 1
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in _accepted(model) else {}
        self._slots = SlotCache(model.config)
        self._lengths: list[int] = []

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        unique, places = _unique(prompts)
        first = len(self._lengths)
        self._slots.reserve(first + len(prompts), max(len(prompt) for prompt in prompts))
        begun = self._begin(first, unique)
        logits_UV = self._compute(first, unique, begun)
        self._lengths += [len(prompt) for prompt in prompts]
        if len(unique) == len(prompts):
            return logits_UV
        width = max(len(prompt) for prompt in unique)
        self._slots.spread([first + place for place in places], first, width)
        return logits_UV[torch.tensor(places, device=self._device)]

    def _begin(self, first: int, unique: Sequence[tuple[int, ...]]) -> list[int]:
        """Fills slots with beginnings that are known or common to all; how many tokens of each prompt."""
        found = [self._prefixes.find(prompt) for prompt in unique]
        for slot, (known, length) in enumerate(found, first):
            if known is not None:
                self._slots.write(slot, known, length)
        if any(length for _, length in found):
            return [length for _, length in found]
        shared = _common_prefix(unique) if len(unique) > 1 else 0
        if shared < _SHARED_PREFIX:
            return [0] * len(unique)
        self._compute(first, [unique[0][:shared]], [0])
        self._slots.spread([first] * (len(unique) - 1), first + 1, shared)
        return [shared] * len(unique)

    def _compute(
        self, first: int, prompts: Sequence[tuple[int, ...]], begun: Sequence[int]
    ) -> torch.Tensor:
        """The logits behind each prompt, of which the first `begun` tokens stand in its slot already."""
        rest = [prompt[length:] for prompt, length in zip(prompts, begun, strict=True)]
        most = max(len(ids) for ids in rest)
        ids_NW = torch.tensor(
            [[0] * (most - len(ids)) + list(ids) for ids in rest], device=self._device
        )
        before_N1 = torch.tensor([len(ids) - most for ids in rest], device=self._device)[:, None]
        place_NW = torch.arange(most, device=self._device) + before_N1
        begun_N1 = torch.tensor(begun, device=self._device)[:, None]
        width = max(len(prompt) for prompt in prompts)
        columns_NW = torch.where(place_NW < 0, width, place_NW + begun_N1)
        return self._forward(first, ids_NW, columns_NW, (place_NW + begun_N1).clamp(min=0), width)

    def left(self, prompt: tuple[int, ...]) -> int:
        return len(prompt) - self._prefixes.find(prompt)[1]

    def remember(self, row: int, tokens: tuple[int, ...]) -> None:
        if self._prefixes.on:
            self._prefixes.put(self._slots.read(row, tokens))

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        ids_B1 = torch.tensor(tokens, device=self._device)[:, None]
        columns_B1 = torch.tensor(self._lengths, device=self._device)[:, None]
        width = max(self._lengths) + 1
        self._lengths = [length + 1 for length in self._lengths]
        return self._forward(0, ids_B1, columns_B1, columns_B1, width)

    def keep(self, rows: Sequence[int]) -> None:
        # What goes on in another place comes from behind all that stay, so no slot is overwritten that is still read.
        assert all(source == target or source >= len(rows) for target, source in enumerate(rows))
        self._lengths = [self._lengths[row] for row in rows]
        for target, source in enumerate(rows):
            if source != target:
                self._slots.move(source, target, self._lengths[target])

    def _forward(
        self,
        first: int,
        ids_NW: torch.Tensor,
        columns_NW: torch.Tensor,
        positions_NW: torch.Tensor,
        width: int,
    ) -> torch.Tensor:
        self._slots.prepare(first, columns_NW, width)
        mask_N1WC = (torch.arange(width, device=self._device) <= positions_NW[..., None])[:, None]
        if self._additive:
            hidden = torch.finfo(self._model.dtype).min
            mask_N1WC = torch.zeros_like(mask_N1WC, dtype=self._model.dtype).masked_fill(
                ~mask_N1WC, hidden
            )
        output = self._model(
            input_ids=ids_NW,
            attention_mask=mask_N1WC,
            # A finished row rides along until it is dropped, and may have no position left: what it reads is not used.
            position_ids=positions_NW.clamp(max=self._last_position),
            past_key_values=self._slots.cache,
            use_cache=True,
            **self._extra,
        )
        logits_NV: torch.Tensor = output.logits[:, -1].float()
        return logits_NV


class PaddedRunner:
    """Forward passes of a decoder-only model whose layers keep other things than all keys and values (sliding windows, states),
    or that finds positions itself: transformers' own cache, prompts padded on the left, and nobody joins a running batch."""

    joins = False
    dead_share = 6

    def __init__(self, model: Any) -> None:
        self._model = model
        self._device = model.device
        limit = context_limit(model)
        self._last_position = torch.iinfo(torch.long).max if limit is None else limit - 1
        accepted = _accepted(model)
        self._takes_positions = "position_ids" in accepted
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._clear()

    def _clear(self) -> None:
        self._cache: Any = None
        self._mask_BS = torch.zeros((0, 0), dtype=torch.long, device=self._device)
        self._positions_B = torch.zeros(0, dtype=torch.long, device=self._device)

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        unique, places = _unique(prompts)
        self._cache = _cache.new_cache(self._model.config)
        width = max(len(ids) for ids in unique)
        ids_US = torch.tensor(
            [[0] * (width - len(ids)) + list(ids) for ids in unique], device=self._device
        )
        mask_US = torch.tensor(
            [[0] * (width - len(ids)) + [1] * len(ids) for ids in unique], device=self._device
        )
        positions_US = (mask_US.cumsum(-1) - 1).clamp(min=0)
        logits_UV = self._forward(ids_US, mask_US, positions_US)
        rows_N = torch.tensor(places, device=self._device)
        if len(unique) < len(prompts):
            _cache.select_rows(self._cache, rows_N)
        self._mask_BS, self._positions_B = mask_US[rows_N], positions_US[rows_N, -1] + 1
        return logits_UV[rows_N]

    def left(self, prompt: tuple[int, ...]) -> int:
        return len(prompt)

    def remember(self, row: int, tokens: tuple[int, ...]) -> None:
        pass

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        ids_B1 = torch.tensor(tokens, device=self._device)[:, None]
        self._mask_BS = torch.nn.functional.pad(self._mask_BS, (0, 1), value=1)
        logits_BV = self._forward(ids_B1, self._mask_BS, self._positions_B[:, None])
        self._positions_B = (self._positions_B + 1).clamp(max=self._last_position)
        return logits_BV

    def keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self._clear()
            return
        rows_B = torch.tensor(rows, device=self._device)
        self._mask_BS, self._positions_B = self._mask_BS[rows_B], self._positions_B[rows_B]
        _cache.select_rows(self._cache, rows_B)

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        places = {"position_ids": positions} if self._takes_positions else {}
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            **places,
            **self._extra,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits


class EncoderDecoderRunner:
    """Forward passes of an encoder-decoder model; each prompt is encoded once, however many rows it has."""

    joins = False
    dead_share = 6

    def __init__(self, model: Any) -> None:
        self._model = model
        self._device = model.device
        starts = (
            model.generation_config.decoder_start_token_id,
            model.config.decoder_start_token_id,
        )
        self._start = next(
            start for start in (*starts, model.config.pad_token_id) if start is not None
        )
        self._keep_none()

    def left(self, prompt: tuple[int, ...]) -> int:
        return len(prompt)

    def remember(self, row: int, tokens: tuple[int, ...]) -> None:
        pass

    def _keep_none(self) -> None:
        self._cache: Any = None
        self._states_BSD = torch.zeros((0, 0, 0))
        self._mask_BS = torch.zeros((0, 0), dtype=torch.long)

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        unique, rows = _unique(prompts)
        width = max(len(ids) for ids in unique)
        ids_US = torch.tensor(
            [[*ids, *[0] * (width - len(ids))] for ids in unique], device=self._device
        )
        mask_US = torch.tensor(
            [[1] * len(ids) + [0] * (width - len(ids)) for ids in unique], device=self._device
        )
        encoder = self._model.get_encoder()
        states_USD = encoder(input_ids=ids_US, attention_mask=mask_US).last_hidden_state
        rows_N = torch.tensor(rows, device=self._device)
        self._states_BSD, self._mask_BS = states_USD[rows_N], mask_US[rows_N]
        self._cache = EncoderDecoderCache(
            _cache.new_cache(self._model.config), _cache.new_cache(self._model.config)
        )
        return self.step([self._start] * len(prompts))

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        output = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._states_BSD),
            attention_mask=self._mask_BS,
            decoder_input_ids=torch.tensor(tokens, device=self._device)[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self._keep_none()
            return
        rows_B = torch.tensor(rows, device=self._device)
        self._states_BSD, self._mask_BS = self._states_BSD[rows_B], self._mask_BS[rows_B]
        for cache in (self._cache.self_attention_cache, self._cache.cross_attention_cache):
            _cache.select_rows(cache, rows_B)

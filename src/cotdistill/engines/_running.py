# ruff: noqa: N803, N806 - tensor names carry their shape
"""A model's forward passes over a changing batch: rows are admitted, advance one token at a time, and are dropped.

Causal models get left padding, an attention mask and each row's own positions. Encoder-decoder models get encoder
padding; their rows all start at the first decoder position, so decoders with absolute positions are right as well.

Shapes: B rows, N rows being admitted, U different prompts among them, S columns of the cache, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from cotdistill.engines import _cache
from cotdistill.engines._loading import context_limit
from cotdistill.engines._prefixes import Known, PrefixStore

__all__ = ["CausalRunner", "EncoderDecoderRunner", "Runner", "runner_for"]

_SHARED_PREFIX = 24
"""From this many common first tokens on, different prompts' common beginning is computed once."""


class Runner(Protocol):
    """The forward passes that the decoding loop needs."""

    def can_admit(self) -> bool:
        """Whether rows can join now."""
        ...

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Adds a row per prompt and returns the logits (float32, N × V) of each one's first token."""
        ...

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Takes the last token of every row and returns the logits (float32, B × V) of its next."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all other rows."""
        ...

    def knows(self, prompt: tuple[int, ...]) -> bool:
        """Whether the beginning of a prompt need not be computed again."""
        ...

    def remember(self, row: int, tokens: tuple[int, ...]) -> None:
        """Keeps what was computed for the tokens of a row that is about to be dropped."""
        ...


def runner_for(model: Any, prefixes: PrefixStore | None = None) -> Runner:
    """The runner for this model's family."""
    return EncoderDecoderRunner(model) if model.config.is_encoder_decoder else CausalRunner(model, prefixes)


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
    """Forward passes of a decoder-only model."""

    def __init__(self, model: Any, prefixes: PrefixStore | None = None) -> None:
        self._model = model
        self._prefixes = prefixes or PrefixStore(0)
        self._device = model.device
        limit = context_limit(model)
        self._last_position = torch.iinfo(torch.long).max if limit is None else limit - 1
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._clear()

    def _clear(self) -> None:
        self._cache: Any = None
        self._mask_BS = torch.zeros((0, 0), dtype=torch.long, device=self._device)
        self._positions_B = torch.zeros(0, dtype=torch.long, device=self._device)

    def can_admit(self) -> bool:
        return self._cache is None or (self._takes_positions and _cache.mergeable(self._cache))

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        unique, rows = _unique(prompts)
        cache = _cache.new_cache(self._model.config)
        lengths, mask_US = self._begun(cache, unique)
        rest = [prompt[length:] for prompt, length in zip(unique, lengths, strict=True)]
        width = max(len(ids) for ids in rest)
        ids_US = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in rest], device=self._device)
        real_US = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in rest], device=self._device)
        first_U1 = torch.tensor(lengths, device=self._device)[:, None]
        positions_US = (first_U1 + real_US.cumsum(-1) - 1).clamp(min=0)
        mask_US = torch.cat([mask_US, real_US], dim=1)
        logits_UV = self._forward(ids_US, mask_US, positions_US, cache)
        rows_N = torch.tensor(rows, device=self._device)
        if len(unique) < len(rows):
            _cache.expand_rows(cache, rows_N)
        self._join(cache, mask_US[rows_N], positions_US[rows_N, -1] + 1)
        return logits_UV[rows_N]

    def _begun(self, cache: Any, unique: Sequence[tuple[int, ...]]) -> tuple[list[int], torch.Tensor]:
        """Fills the cache with beginnings that are known or common to all; how many tokens of each prompt, and their mask."""
        found = [self._prefixes.find(prompt) for prompt in unique] if self._can_reuse(cache) else []
        lengths = [length for _, length in found]
        width = max(lengths, default=0)
        if width:
            _cache.fill(cache, [known.layers if known else None for known, _ in found], lengths)
            columns = torch.arange(width, device=self._device)
            return lengths, (columns >= width - torch.tensor(lengths, device=self._device)[:, None]).long()
        shared = _common_prefix(unique) if len(unique) > 1 and _cache.mergeable(cache) else 0
        mask_US = torch.zeros((len(unique), 0), dtype=torch.long, device=self._device)
        if shared < _SHARED_PREFIX or not self._takes_positions:
            return [0] * len(unique), mask_US
        prefix = torch.tensor([unique[0][:shared]], device=self._device)
        self._forward(prefix, torch.ones_like(prefix), torch.arange(shared, device=self._device)[None], cache)
        _cache.expand_rows(cache, torch.zeros(len(unique), dtype=torch.long, device=self._device))
        return [shared] * len(unique), mask_US.new_ones((len(unique), shared))

    def knows(self, prompt: tuple[int, ...]) -> bool:
        return self._prefixes.on and self._prefixes.find(prompt)[1] > 0

    def remember(self, row: int, tokens: tuple[int, ...]) -> None:
        if not self._can_reuse(self._cache):
            return
        columns = self._mask_BS[row].nonzero()[: len(tokens), 0]
        self._prefixes.put(Known(tokens, _cache.row_states(self._cache, row, columns)))

    def _can_reuse(self, cache: Any) -> bool:
        return self._prefixes.on and self._takes_positions and _cache.mergeable(cache)

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        ids_B1 = torch.tensor(tokens, device=self._device)[:, None]
        self._mask_BS = torch.nn.functional.pad(self._mask_BS, (0, 1), value=1)
        # A finished row rides along until it is dropped, and may have no position left: what it reads is not used.
        positions_B1 = self._positions_B.clamp(max=self._last_position)[:, None]
        logits_BV = self._forward(ids_B1, self._mask_BS, positions_B1, self._cache)
        self._positions_B = self._positions_B + 1
        return logits_BV

    def keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self._clear()
            return
        rows_B = torch.tensor(rows, device=self._device)
        self._mask_BS, self._positions_B = self._mask_BS[rows_B], self._positions_B[rows_B]
        _cache.select_rows(self._cache, rows_B)
        used_S = self._mask_BS.any(dim=0)
        if _cache.mergeable(self._cache) and not bool(used_S.all()):
            self._mask_BS = self._mask_BS[:, used_S]
            _cache.drop_columns(self._cache, used_S)

    def _join(self, cache: Any, mask_NS: torch.Tensor, positions_N: torch.Tensor) -> None:
        if self._cache is None:
            self._cache, self._mask_BS, self._positions_B = cache, mask_NS, positions_N
            return
        _cache.merge(self._cache, cache)
        width = max(self._mask_BS.shape[1], mask_NS.shape[1])
        masks = [torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in (self._mask_BS, mask_NS)]
        self._mask_BS, self._positions_B = torch.cat(masks), torch.cat([self._positions_B, positions_N])

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        places = {"position_ids": positions} if self._takes_positions else {}
        output = self._model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **places, **self._extra
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits


class EncoderDecoderRunner:
    """Forward passes of an encoder-decoder model; each prompt is encoded once, however many rows it has."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._device = model.device
        starts = (model.generation_config.decoder_start_token_id, model.config.decoder_start_token_id)
        self._start = next(start for start in (*starts, model.config.pad_token_id) if start is not None)
        self._keep_none()

    def knows(self, prompt: tuple[int, ...]) -> bool:
        return False

    def remember(self, row: int, tokens: tuple[int, ...]) -> None:
        pass

    def _keep_none(self) -> None:
        self._cache: Any = None
        self._states_BSD = torch.zeros((0, 0, 0))
        self._mask_BS = torch.zeros((0, 0), dtype=torch.long)

    def can_admit(self) -> bool:
        return self._cache is None

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> torch.Tensor:
        unique, rows = _unique(prompts)
        width = max(len(ids) for ids in unique)
        ids_US = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in unique], device=self._device)
        mask_US = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in unique], device=self._device)
        encoder = self._model.get_encoder()
        states_USD = encoder(input_ids=ids_US, attention_mask=mask_US).last_hidden_state
        rows_N = torch.tensor(rows, device=self._device)
        self._states_BSD, self._mask_BS = states_USD[rows_N], mask_US[rows_N]
        self._cache = EncoderDecoderCache(_cache.new_cache(self._model.config), _cache.new_cache(self._model.config))
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

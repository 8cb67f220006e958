# ruff: noqa: N803, N806 - tensor names carry their shape
"""A model's forward passes over a changing batch: rows are admitted, advance one token at a time,
and are dropped.

Causal models get each row's own positions, and a slot of the cache for each row where their layers
allow it (`_slots`). Encoder-decoder models get encoder padding; their rows all start at the first
decoder position, so decoders with absolute positions are right as well.

Shapes: B rows, N rows being admitted, U different prompts among them, W tokens of each that are
computed, S and C columns of the cache, V vocabulary.
"""

import inspect
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from cotdistill.engines._kept import SHORTEST, KeptRows, Tokens, common
from cotdistill.engines._slots import SlotCache, fits


class Runner(Protocol):
    """The forward passes that the decoding loop needs. `kept` is empty where states cannot be used
    again.
    """

    kept: KeptRows

    @property
    def joins(self) -> bool:
        """Return whether rows can join others; if not, they come in when all others are gone."""
        ...

    def admit(self, prompts: Sequence[Tokens]) -> torch.Tensor:
        """Add a row per prompt and return the logits (float32, N × V) of each one's first token."""
        ...

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Take the last token of every row and return the logits (float32, B × V) of its next."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order, and drop all others."""
        ...


def runner_for(model: Any) -> Runner:
    """Return the runner for this model's family."""
    if model.config.is_encoder_decoder:
        return EncoderDecoderRunner(model)
    joins = "position_ids" in _accepted(model) and fits(model)
    return CausalRunner(model) if joins else PaddedRunner(model)


def _accepted(model: Any) -> Collection[str]:
    return inspect.signature(model.forward).parameters


def _cache_name(model: Any) -> str:
    """Return the argument that a model's cache is: transformers renamed it in 5.24."""
    return "cache" if "cache" in _accepted(model) else "past_key_values"


def _unique(prompts: Sequence[Tokens]) -> tuple[list[Tokens], list[int]]:
    """Return the different prompts in order, and for each prompt its place among them."""
    places: dict[Tokens, int] = {}
    rows = [places.setdefault(prompt, len(places)) for prompt in prompts]
    return list(places), rows


def _padded(
    prompts: Sequence[Tokens], side: str, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids (rows, columns), padded with 0 at one side, and their mask."""
    ids = [torch.tensor(prompt) for prompt in prompts]
    masks = [torch.ones_like(row) for row in ids]
    return (
        pad_sequence(ids, True, padding_side=side).to(device),
        pad_sequence(masks, True, padding_side=side).to(device),
    )


class CausalRunner:
    """Forward passes of a decoder-only model whose rows each have a slot of the cache: they join
    and leave at any time.
    """

    joins = True

    def __init__(self, model: Any) -> None:
        self._model = model
        self._device = model.device
        self._additive = model.config.get_text_config(decoder=True)._attn_implementation == "eager"
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in _accepted(model) else {}
        self._slots, self._cache_name = SlotCache(model.config), _cache_name(model)
        self.kept = KeptRows()
        # The tokens of each row whose keys and values stand in its slot.
        self._rows: list[list[int]] = []

    def admit(self, prompts: Sequence[Tokens]) -> torch.Tensor:
        unique, places = _unique(prompts)
        first = len(self._rows)
        self._slots.reserve(first + len(prompts), max(len(prompt) for prompt in prompts))
        logits_UV = self._compute(first, unique, self._begin(first, unique))
        self._rows += [list(prompt) for prompt in prompts]
        if len(unique) == len(prompts):
            return logits_UV
        width = max(len(prompt) for prompt in unique)
        self._slots.spread([first + place for place in places], first, width)
        return logits_UV[torch.tensor(places, device=self._device)]

    def _begin(self, first: int, unique: Sequence[Tokens]) -> list[int]:
        """Put into the slots what need not be computed of each prompt; return how many tokens."""
        taken = self.kept.take(unique)
        for slot, (states, known) in enumerate(taken, first):
            if known:
                self._slots.write(slot, states, known)
        if any(known for _, known in taken) or len(unique) == 1:
            return [known for _, known in taken]
        # The tokens that all prompts begin with, few-shot exemplars for example, are computed once.
        # The two prompts that differ most are the first and the last in order.
        shared = min(common(min(unique), max(unique)), *(len(prompt) - 1 for prompt in unique))
        if shared < SHORTEST:
            return [0] * len(unique)
        self._compute(first, [unique[0][:shared]], [0])
        self._slots.spread([first] * (len(unique) - 1), first + 1, shared)
        return [shared] * len(unique)

    def _compute(self, first: int, prompts: Sequence[Tokens], begun: Sequence[int]) -> torch.Tensor:
        """Return the logits behind each prompt, of which so many tokens stand in its slot
        already.
        """
        rest = [prompt[known:] for prompt, known in zip(prompts, begun, strict=True)]
        ids_NW, _ = _padded(rest, "left", self._device)
        most, width = ids_NW.shape[1], max(len(prompt) for prompt in prompts)
        begun_N1 = torch.tensor(begun, device=self._device)[:, None]
        ends_N1 = torch.tensor([len(prompt) for prompt in prompts], device=self._device)[:, None]
        positions_NW = ends_N1 - most + torch.arange(most, device=self._device)
        columns_NW = torch.where(positions_NW < begun_N1, width, positions_NW)
        return self._forward(first, ids_NW, columns_NW, positions_NW.clamp(min=0), width)

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        ids_B1 = torch.tensor(tokens, device=self._device)[:, None]
        lengths = [len(row) for row in self._rows]
        columns_B1 = torch.tensor(lengths, device=self._device)[:, None]
        for row, token in zip(self._rows, tokens, strict=True):
            row.append(token)
        return self._forward(0, ids_B1, columns_B1, columns_B1, max(lengths) + 1)

    def keep(self, rows: Sequence[int]) -> None:
        for slot in set(range(len(self._rows))).difference(rows):
            row = tuple(self._rows[slot])
            self.kept.add(row, partial(self._slots.read, slot, len(row)))
        # What goes on in another place comes from behind all that stay, so no slot is overwritten
        # that is still read.
        assert all(source == target or source >= len(rows) for target, source in enumerate(rows))
        self._rows = [self._rows[row] for row in rows]
        if not rows:
            self._slots = SlotCache(self._model.config)  # whoever waits for questions holds none
        for target, source in enumerate(rows):
            if source != target:
                self._slots.move(source, target, len(self._rows[target]))

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
            dtype = self._model.dtype
            shown = torch.zeros_like(mask_N1WC, dtype=dtype)
            mask_N1WC = shown.masked_fill(~mask_N1WC, torch.finfo(dtype).min)
        output = self._model(
            input_ids=ids_NW,
            attention_mask=mask_N1WC,
            position_ids=positions_NW,
            use_cache=True,
            **{self._cache_name: self._slots.cache},
            **self._extra,
        )
        logits_NV: torch.Tensor = output.logits[:, -1].float()
        return logits_NV


class _Together:
    """A batch that nobody joins, on transformers' own cache."""

    joins = False

    def __init__(self, model: Any) -> None:
        self.kept = KeptRows()
        self._model = model
        self._device = model.device
        self._cache_name = _cache_name(model)
        self._cache: Any = None
        # What belongs to each row besides its cache: the mask, and positions or the encoder's
        # states.
        self._mask_BS = torch.zeros((0, 0), dtype=torch.long)
        self._own_B = torch.zeros(0, dtype=torch.long)

    def keep(self, rows: Sequence[int]) -> None:
        rows_B = torch.tensor(rows, device=self._device, dtype=torch.long)
        self._mask_BS, self._own_B = self._mask_BS[rows_B], self._own_B[rows_B]
        if rows:
            self._cache.batch_select_indices(rows_B)
        else:
            self._cache = None


class PaddedRunner(_Together):
    """Forward passes of a decoder-only model whose layers keep other things than all keys and
    values (sliding windows, states), or that finds positions itself: prompts are padded on the
    left."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        accepted = _accepted(model)
        self._takes_positions = "position_ids" in accepted
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def admit(self, prompts: Sequence[Tokens]) -> torch.Tensor:
        unique, places = _unique(prompts)
        self._cache = DynamicCache(config=self._model.config)
        ids_US, self._mask_BS = _padded(unique, "left", self._device)
        positions_US = (self._mask_BS.cumsum(-1) - 1).clamp(min=0)
        self._own_B = positions_US[:, -1] + 1
        logits_UV = self._forward(ids_US, positions_US)
        self.keep(places)
        return logits_UV[torch.tensor(places, device=self._device)]

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        ids_B1 = torch.tensor(tokens, device=self._device)[:, None]
        self._mask_BS = torch.nn.functional.pad(self._mask_BS, (0, 1), value=1)
        logits_BV = self._forward(ids_B1, self._own_B[:, None])
        self._own_B = self._own_B + 1
        return logits_BV

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        places = {"position_ids": positions} if self._takes_positions else {}
        output = self._model(
            input_ids=ids,
            attention_mask=self._mask_BS,
            use_cache=True,
            **{self._cache_name: self._cache},
            **places,
            **self._extra,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits


class EncoderDecoderRunner(_Together):
    """Forward passes of an encoder-decoder model; each prompt is encoded once, however many rows it
    has.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        config = model.config
        starts = (model.generation_config.decoder_start_token_id, config.decoder_start_token_id)
        self._start = next(one for one in (*starts, config.pad_token_id) if one is not None)

    def admit(self, prompts: Sequence[Tokens]) -> torch.Tensor:
        unique, places = _unique(prompts)
        ids_US, mask_US = _padded(unique, "right", self._device)
        encoder = self._model.get_encoder()
        states_USD = encoder(input_ids=ids_US, attention_mask=mask_US).last_hidden_state
        rows_N = torch.tensor(places, device=self._device)
        self._own_B, self._mask_BS = states_USD[rows_N], mask_US[rows_N]
        own, cross = (DynamicCache(config=self._model.config) for _ in range(2))
        self._cache = EncoderDecoderCache(own, cross)
        return self.step([self._start] * len(prompts))

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        output = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._own_B),
            attention_mask=self._mask_BS,
            decoder_input_ids=torch.tensor(tokens, device=self._device)[:, None],
            use_cache=True,
            **{self._cache_name: self._cache},
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

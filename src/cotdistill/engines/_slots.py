# ruff: noqa: N803, N815 - tensor names carry their shape
"""The key-value cache of rows that come and go: every row has a slot, and its states stand there
from column 0 on.

A row that joins is computed in the next free slots, one that leaves is overwritten by the last one:
what the others have read is never copied. Behind a row's own columns stands what earlier rows left
there; the mask of a pass hides it.

Shapes: R slots, H heads, C columns, D dimension, N rows of a pass, W tokens of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from cotdistill.engines._kept import States

_STRIDE = 64


@dataclass
class Pass:
    """Place of the next forward pass: the slots `first` to `last`, columns before
    `width`.
    """

    first: int = 0
    last: int = 0
    width: int = 0
    rows_N1: torch.Tensor | None = None
    columns_NW: torch.Tensor | None = None
    slots: int = 0
    columns: int = 0


class _SlotLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (R × H × C × D) of one layer."""

    def __init__(self, place: Pass) -> None:
        super().__init__()
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self._place = place

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.reserve(key_states, value_states)
        place = self._place
        for buffer, states in ((self.keys, key_states), (self.values, value_states)):
            buffer[place.rows_N1, :, place.columns_NW] = states.transpose(1, 2)
        rows = slice(place.first, place.last)
        return self.keys[rows, :, : place.width], self.values[rows, :, : place.width]

    def reserve(self, like_keys: torch.Tensor, like_values: torch.Tensor) -> None:
        """Make room for the slots and columns that the pass says; what is there stays."""
        slots, columns = self._place.slots, self._place.columns
        if self.is_initialized and self.keys.shape[0] >= slots and self.keys.shape[2] >= columns:
            return
        if not self.is_initialized:
            self.lazy_initialization(like_keys, like_values)
            self.keys, self.values = (like[:0, :, :0] for like in (like_keys, like_values))
        self.keys, self.values = (
            _grown(states, slots, columns) for states in (self.keys, self.values)
        )

    def get_seq_length(self) -> int:
        width, columns = self._place.width, self._place.columns_NW
        return width - (columns.shape[1] if columns is not None else 0)


def _grown(states: torch.Tensor, slots: int, columns: int) -> torch.Tensor:
    # Zeros, since what a mask hides is multiplied by 0, which a stray NaN would survive.
    rows, heads, used, dimension = states.shape
    grown = states.new_zeros((max(rows, slots), heads, max(used, columns), dimension))
    grown[:rows, :, :used] = states
    return grown


def fits(model: Any) -> bool:
    """Return whether all layers of the model keep the keys and values of all tokens, and masks are
    ours to give.
    """
    config = model.config.get_text_config(decoder=True)
    layers = DynamicCache(config=model.config).layers
    return (
        bool(layers)
        and all(type(layer) is DynamicLayer for layer in layers)
        and config._attn_implementation in ("sdpa", "eager", "cotdistill")
        and not config.to_dict().get("alibi")
    )


class SlotCache:
    """The cache as transformers' models take it (`cache`), and what happens to its slots between
    passes.
    """

    def __init__(self, config: Any) -> None:
        self.place = Pass()
        self.cache: Any = DynamicCache(config=config)
        self.cache.layers = [_SlotLayer(self.place) for _ in self.cache.layers]

    def prepare(self, first: int, columns_NW: torch.Tensor, width: int) -> None:
        """Have the next pass write its tokens at these columns of the slots from `first` on, and
        read the columns before `width`.

        Tokens that only pad are written at column `width`, which nobody reads.
        """
        place, rows = self.place, columns_NW.shape[0]
        place.first, place.last, place.width = first, first + rows, width
        place.rows_N1 = torch.arange(first, first + rows, device=columns_NW.device)[:, None]
        place.columns_NW = columns_NW
        self.reserve(place.last, width)

    def reserve(self, slots: int, width: int) -> None:
        """Make room for so many slots and columns, and some more, from the next time on that
        something is written.
        """
        place = self.place
        if place.slots < slots:
            place.slots = max(slots, place.slots * 3 // 2)
        if place.columns <= width:
            place.columns = width + _STRIDE

    def move(self, source: int, target: int, width: int) -> None:
        """Copy a slot (its columns before `width`) over another."""
        for layer in self.cache.layers:
            for states in (layer.keys, layer.values):
                states[target, :, :width] = states[source, :, :width]

    def spread(self, sources: Sequence[int], first: int, width: int) -> None:
        """Copy slots (their columns before `width`) to the slots from `first` on, all at once."""
        last = first + len(sources)
        self.reserve(last, width)
        for layer in self.cache.layers:
            layer.reserve(layer.keys, layer.values)
            for states in (layer.keys, layer.values):
                states[first:last, :, :width] = states[list(sources), :, :width]

    def read(self, slot: int, width: int) -> States:
        """Return a copy of a slot's columns before `width`."""
        layers = self.cache.layers
        return [
            (layer.keys[slot, :, :width].clone(), layer.values[slot, :, :width].clone())
            for layer in layers
        ]

    def write(self, slot: int, states: States, width: int) -> None:
        """Put such a copy's columns before `width` into a slot."""
        self.reserve(slot + 1, width)
        for layer, (keys, values) in zip(self.cache.layers, states, strict=True):
            layer.reserve(keys[None], values[None])
            layer.keys[slot, :, :width] = keys[:, :width]
            layer.values[slot, :, :width] = values[:, :width]

"""The key-value cache of a running batch: rows leave, rows join, columns nobody reads are dropped.

transformers' own dynamic cache copies everything at each step; ours writes into a buffer that grows in strides. Models
with other kinds of layers (sliding window, recurrent) keep transformers' layers and then no rows can join.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

__all__ = ["drop_columns", "expand_rows", "fill", "merge", "mergeable", "new_cache", "row_states", "select_rows"]

_STRIDE = 64


class _BufferedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (rows × heads × columns × dimension) as views into buffers with room for more columns."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self.buffers: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.set(key_states, value_states)
            return self.keys, self.values
        old, new = self.keys.shape[2], self.keys.shape[2] + key_states.shape[2]
        if not self.buffers or self.buffers[0].shape[2] < new:
            self.buffers = [_with_room(self.keys, new + _STRIDE), _with_room(self.values, new + _STRIDE)]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, old:new] = states
        self.keys, self.values = self.buffers[0][:, :, :new], self.buffers[1][:, :, :new]
        return self.keys, self.values

    def take(self, rows: torch.Tensor) -> None:
        """Keeps these rows, in this order; the room for more columns stays."""
        if not self.buffers:
            self.set(self.keys.index_select(0, rows), self.values.index_select(0, rows))
            return
        used = self.keys.shape[2]
        self.buffers = [buffer.index_select(0, rows) for buffer in self.buffers]
        self.keys, self.values = self.buffers[0][:, :, :used], self.buffers[1][:, :, :used]

    def set(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replaces the contents; the next update makes room again."""
        self.keys, self.values, self.buffers = keys, values, []


def _with_room(states: torch.Tensor, columns: int) -> torch.Tensor:
    rows, heads, used, dimension = states.shape
    buffer = states.new_empty((rows, heads, columns, dimension))
    buffer[:, :, :used] = states
    return buffer


def new_cache(config: Any) -> Any:
    """An empty cache for a model of this config."""
    cache = DynamicCache(config=config)
    cache.layers = [_BufferedLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def mergeable(cache: Any) -> bool:
    """Whether rows can join and columns can be dropped."""
    return all(isinstance(layer, _BufferedLayer) for layer in cache.layers)


def select_rows(cache: Any, rows: torch.Tensor) -> None:
    """Keeps these rows only."""
    for layer in cache.layers:
        if isinstance(layer, _BufferedLayer):
            layer.take(rows)
        else:
            layer.batch_select_indices(rows)


def expand_rows(cache: Any, rows: torch.Tensor) -> None:
    """Repeats rows: row i of the new cache is row `rows[i]` of the old one."""
    select_rows(cache, rows)


def drop_columns(cache: Any, keep: torch.Tensor) -> None:
    """Keeps the columns where `keep` (bool) is true."""
    for layer in cache.layers:
        layer.set(layer.keys[:, :, keep], layer.values[:, :, keep])


def merge(cache: Any, other: Any) -> None:
    """Adds the rows of `other`; the shorter of the two is padded on the left."""
    for layer, guest in zip(cache.layers, other.layers, strict=True):
        width = max(layer.keys.shape[2], guest.keys.shape[2])
        layer.set(
            torch.cat([_padded(layer.keys, width), _padded(guest.keys, width)]),
            torch.cat([_padded(layer.values, width), _padded(guest.values, width)]),
        )


def row_states(cache: Any, row: int, columns: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Copies of a row's keys and values (heads × columns × dimension) at these columns, layer by layer."""
    return tuple((layer.keys[row][:, columns], layer.values[row][:, columns]) for layer in cache.layers)


def fill(
    cache: Any, rows: Sequence[tuple[tuple[torch.Tensor, torch.Tensor], ...] | None], lengths: Sequence[int]
) -> None:
    """Makes an empty cache begin with the first columns of what is known of each row, to the right of its columns."""
    like = next(layers for layers in rows if layers is not None)
    width = max(lengths)
    for place, layer in enumerate(cache.layers):
        both = []
        for side in (0, 1):
            heads, _, dimension = like[place][side].shape
            states = like[place][side].new_zeros((len(rows), heads, width, dimension))
            for row, (known, length) in enumerate(zip(rows, lengths, strict=True)):
                if known is not None:
                    states[row, :, width - length :] = known[place][side][:, :length]
            both.append(states)
        layer.lazy_initialization(*both)
        layer.set(*both)


def _padded(states: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))

"""The key-value cache of a batch that nobody joins: encoder-decoder models, and layers that keep no plain keys and values.

transformers' own dynamic cache copies everything at each step; ours writes into a buffer that grows in strides. Other kinds of
layers (sliding window, recurrent) stay transformers' own.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

__all__ = ["new_cache", "select_rows"]

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
            self.buffers = [
                _with_room(self.keys, new + _STRIDE),
                _with_room(self.values, new + _STRIDE),
            ]
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
    cache.layers = [
        _BufferedLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def select_rows(cache: Any, rows: torch.Tensor) -> None:
    """Keeps these rows only."""
    for layer in cache.layers:
        if isinstance(layer, _BufferedLayer):
            layer.take(rows)
        else:
            layer.batch_select_indices(rows)

"""What was computed for finished rows is kept for a while: a prompt that begins as one of them did goes on from there.

Methods that ask turn by turn (Socratic CoT, a second call for the answer, a guide's step, a corrected equation) send prompts that
repeat most of the one before. Keys and values are found by hashes of the first 16, 32, 48, … tokens and checked token by token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["Known", "PrefixStore"]

_BLOCK = 16


@dataclass(frozen=True)
class Known:
    """Keys and values (heads × columns × dimension) of every layer for these tokens."""

    tokens: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def bytes(self) -> int:
        return sum(states.nbytes for layer in self.layers for states in layer)


class PrefixStore:
    """Keeps the latest rows up to `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._used_bytes = 0
        self._rows: OrderedDict[tuple[int, ...], Known] = OrderedDict()
        self._by_block: dict[int, Known] = {}

    @property
    def on(self) -> bool:
        """Whether anything is kept at all."""
        return self._max_bytes > 0

    def find(self, prompt: tuple[int, ...]) -> tuple[Known | None, int]:
        """The row that shares most of the prompt's first tokens, and how many; at least one token is left to compute."""
        for hash_of_start in reversed(_block_hashes(prompt[:-1])):
            known = self._by_block.get(hash_of_start)
            if known is None:
                continue
            shared = _shared(known.tokens, prompt[:-1])
            if shared >= _BLOCK:
                return known, shared
        return None, 0

    def put(self, known: Known) -> None:
        """Keeps a row, and forgets the oldest ones beyond the limit."""
        if (
            known.tokens in self._rows
            or len(known.tokens) < _BLOCK
            or known.bytes > self._max_bytes
        ):
            return
        self._rows[known.tokens] = known
        self._used_bytes += known.bytes
        for hash_of_start in _block_hashes(known.tokens):
            self._by_block[hash_of_start] = known
        while self._used_bytes > self._max_bytes:
            _, oldest = self._rows.popitem(last=False)
            self._used_bytes -= oldest.bytes
            for hash_of_start in _block_hashes(oldest.tokens):
                if self._by_block.get(hash_of_start) is oldest:
                    del self._by_block[hash_of_start]


def _block_hashes(tokens: Sequence[int]) -> list[int]:
    """A hash for every beginning of whole blocks, shortest first."""
    hashes, before = list[int](), 0
    for end in range(_BLOCK, len(tokens) + 1, _BLOCK):
        before = hash((before, tuple(tokens[end - _BLOCK : end])))
        hashes.append(before)
    return hashes


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    length = min(len(one), len(other))
    return next((place for place in range(length) if one[place] != other[place]), length)

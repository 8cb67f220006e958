"""Keys and values of rows that have left, for prompts that begin as those rows do: the next turn of
a solution or a chat, a completion that goes on from its middle, exemplars that all prompts share.

Nothing is kept until a prompt has come that would have gained by it: where every question is asked
once, nobody needs a row that has left.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

import torch

Tokens = tuple[int, ...]
States = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values (heads × tokens × dimension) of each layer."""

SHORTEST = 24
"""Beginnings of fewer tokens are computed again: that costs less than to copy them."""


class KeptRows:
    """Rows that have left, the one that left first first, of `limit` tokens together at most."""

    def __init__(self) -> None:
        self._states: dict[Tokens, States] = {}
        # In order of their tokens, so that the row with the longest common beginning is the
        # neighbour of the place where a prompt would stand.
        self._sorted: list[Tokens] = []
        self._tokens = self._limit = 0
        self._useful = False

    def limit(self, tokens: int) -> None:
        """Keep at most so many tokens from now on."""
        self._limit = tokens
        self._make_room(0)

    def add(self, row: Tokens, states: Callable[[], States]) -> None:
        """Keep a row that leaves; `states` copies what was computed of it."""
        if row in self._states or not SHORTEST <= len(row) <= self._limit:
            return
        self._make_room(len(row))
        self._states[row] = states() if self._useful else []
        self._tokens += len(row)
        insort(self._sorted, row)

    def known(self, prompt: Tokens) -> int:
        """Return how many of a prompt's first tokens need not be computed; never all."""
        return self._nearest(prompt)[1] if self._useful else 0

    def take(self, prompts: Sequence[Tokens]) -> list[tuple[States, int]]:
        """Return for each prompt the states that it begins with, and of how many of its tokens.

        A row that a prompt goes on from is kept no longer: the prompt's own row will hold all of
        it.
        """
        nearest = [self._nearest(prompt) for prompt in prompts]
        if not self._useful:
            # Of the rows so far the tokens alone are here, which was enough to notice the gain.
            pairs = zip(nearest, prompts, strict=True)
            if any(2 * known >= len(prompt) for (_, known), prompt in pairs):
                self._make_room(self._limit)
                self._useful = True
            return [([], 0)] * len(prompts)
        taken = [(self._states[row] if known else [], known) for row, known in nearest]
        for row, known in nearest:
            if row in self._states and 2 * known >= len(row):
                self._remove(row)
        return taken

    def _nearest(self, prompt: Tokens) -> tuple[Tokens, int]:
        """Return the row with the longest common beginning, and its length; 0 where too short."""
        place = bisect_left(self._sorted, prompt)
        near = [(row, common(row, prompt)) for row in self._sorted[max(0, place - 1) : place + 1]]
        row, known = max(near, key=lambda one: one[1], default=((), 0))
        known = min(known, len(prompt) - 1)
        return (row, known) if known >= SHORTEST else ((), 0)

    def _make_room(self, tokens: int) -> None:
        while self._states and self._tokens + tokens > self._limit:
            self._remove(next(iter(self._states)))

    def _remove(self, row: Tokens) -> None:
        del self._states[row]
        del self._sorted[bisect_left(self._sorted, row)]
        self._tokens -= len(row)


def common(one: Tokens, other: Tokens) -> int:
    """Return the length of the longest common beginning."""
    length = min(len(one), len(other))
    return next((place for place in range(length) if one[place] != other[place]), length)

"""Greedy decoding: the method asks once, at temperature 0, exactly as it is written."""

from __future__ import annotations

from cotdistill.contracts import Strategy

__all__ = ["Greedy"]


class Greedy(Strategy):
    """One greedy answer, nothing added."""

"""Greedy decoding: the method asks once, at temperature 0, exactly as it is written."""

from cotdistill.contracts import Strategy


class Greedy(Strategy):
    """One greedy answer, nothing added."""

"""Speed of this machine's products and memory, and what a student reaches of it.

What is possible follows from the machine: a token that is learnt from takes at least its products
(6 floating-point operations for each weight: 2 forward, 4 backward; the output matrix at target
tokens alone), and a written token of a batch at least the reading of all weights, or the batch's
products. Attention is left out of both, so the shares are slightly too low.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from cotdistill.contracts import Pace


@dataclass(frozen=True)
class MachineSpeed:
    """Rates of the device that training takes: products in operations/s by precision, memory in
    bytes/s."""

    device: str
    products: dict[str, float]
    memory: float

    @property
    def best(self) -> float:
        return max(self.products.values())


def measure_machine() -> MachineSpeed:
    """Time products of a usual student's shapes, and the copying of 256 MB; takes 2 s."""
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    size = 1024 if device.type == "cpu" else 8192
    rates: dict[str, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        seconds = _least(partial(torch.matmul, left, right), device)
        rates[str(dtype).removeprefix("torch.")] = 2 * size**3 / seconds
    source = torch.zeros(64 << 20, device=device)
    target = torch.empty_like(source)
    memory = 2 * source.nbytes / _least(lambda: target.copy_(source), device)
    return MachineSpeed(str(device), rates, memory)


def _least(work: Callable[[], Any], device: torch.device) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter() - began

    return min(once() for _ in range(8))


def shares_of_possible(pace: Pace, machine: MachineSpeed) -> tuple[float, float]:
    """Return how much of what the machine allows a token that is learnt from, and one that is
    written, reach: products at the best rate, or the reading of all weights for a batch."""
    learning, writing = (one / machine.best for one in pace.operations)
    reading = pace.weights / machine.memory / pace.rows
    return learning / pace.token, max(writing, reading) / pace.answer_token

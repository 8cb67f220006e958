"""Muon (Jordan 2024) for processors: matrices of one shape are orthogonalized together, in float32.

`torch.optim.Muon` works in bfloat16, one matrix at a time. On a processor without bfloat16 it took
75 % of the lab's training, three times as long as the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import overload

import torch

__all__ = ["Muon"]

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the odd quintic polynomial, steepest at zero (Jordan 2024)."""


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalized by five Newton-Schulz steps.

    Update of an m x n matrix: 0.2 * sqrt(max(m, n)) * UV^T of its Nesterov momentum (Liu et al.
    2025): the size of AdamW's updates, so that AdamW's learning rates fit.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float,
        weight_decay: float = 0.02,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update once; return the loss of `closure` (new gradients) where it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            same_shape: dict[tuple[int, ...], list[tuple[torch.Tensor, torch.Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                momentum = state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(momentum, group["momentum"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                wide, update = (
                    (parameter, update)
                    if parameter.shape[0] <= parameter.shape[1]
                    else (parameter.T, update.T)
                )
                same_shape.setdefault(tuple(wide.shape), []).append((wide, update))
            for shape, pairs in same_shape.items():
                made = orthogonal(torch.stack([update for _, update in pairs]))
                for (wide, _), update in zip(pairs, made, strict=True):
                    wide.add_(update, alpha=-0.2 * group["lr"] * max(shape) ** 0.5)
        return loss


def orthogonal(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return about UV^T of each matrix USV^T in a stack of wide ones.

    Singular values come out between 0.7 and 1.2.
    """
    a, b, c = NEWTON_SCHULZ
    made: torch.Tensor = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = made @ made.mT
        made = torch.baddbmm(made, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), made, beta=a)
    return made

# ruff: noqa: N803, N806 - tensor names carry their shape
"""Negative log-likelihoods of tokens from logits, in pieces that fit a processor's cache.

The usual cross entropy keeps the logits four times: as they are, in float32, normalised, and as a
gradient. Here they are kept once until the backward pass makes their gradient.

Shapes: K tokens, V vocabulary.
"""

from collections.abc import Iterator
from typing import Any

import torch

_PIECE = {"cpu": 1 << 21}
_ELSEWHERE = 1 << 26
"""Logits at a time: 8 MB fit a CPU's last cache; an accelerator wants few kernels."""


def token_likelihood(logits_KV: torch.Tensor, tokens_K: torch.Tensor) -> torch.Tensor:
    """Return each token's negative log-likelihood (K,) in nats, float32, under its logits."""
    nll_K: torch.Tensor = _Likelihood.apply(logits_KV, tokens_K)  # type: ignore[no-untyped-call]
    return nll_K


class _Likelihood(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_KV: torch.Tensor, tokens_K: torch.Tensor) -> torch.Tensor:
        total_K = torch.empty(len(tokens_K), device=logits_KV.device)
        for piece in _pieces(logits_KV):
            total_K[piece] = logits_KV[piece].float().logsumexp(dim=-1)
        ctx.save_for_backward(logits_KV, tokens_K, total_K)
        return total_K - logits_KV.gather(1, tokens_K[:, None])[:, 0].float()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient_K,) = gradients
        logits_KV, tokens_K, total_K = ctx.saved_tensors
        out_KV = torch.empty_like(logits_KV)
        for piece in _pieces(logits_KV):
            part_CV = (logits_KV[piece].float() - total_K[piece, None]).exp_()
            chosen_C1 = tokens_K[piece, None]
            part_CV.scatter_add_(1, chosen_C1, -torch.ones_like(chosen_C1, dtype=torch.float32))
            out_KV[piece] = part_CV.mul_(gradient_K[piece, None])
        return out_KV, None


def _pieces(logits_KV: torch.Tensor) -> Iterator[slice]:
    count, vocabulary = logits_KV.shape
    size = max(1, _PIECE.get(logits_KV.device.type, _ELSEWHERE) // vocabulary)
    return (slice(start, start + size) for start in range(0, count, size))

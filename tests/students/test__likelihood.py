# ruff: noqa: N806 - tensor names carry their shape
"""The likelihood in pieces is torch's cross entropy, and so is its gradient."""

from __future__ import annotations

import pytest
import torch

from cotdistill.students import _likelihood
from cotdistill.students._likelihood import token_likelihood


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("piece", [1, 40, 10_000])
def test_likelihood_and_gradient(
    dtype: torch.dtype, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_likelihood._PIECE, "cpu", piece)
    torch.manual_seed(0)
    logits_KV = (10 * torch.randn(9, 17)).to(dtype).requires_grad_()
    tokens_K, weights_K = torch.randint(17, (9,)), torch.rand(9)
    ours_K = token_likelihood(logits_KV, tokens_K)
    (gradient_KV,) = torch.autograd.grad((ours_K * weights_K).sum(), logits_KV)
    truth_K = torch.nn.functional.cross_entropy(logits_KV.float(), tokens_K, reduction="none")
    (expected_KV,) = torch.autograd.grad((truth_K * weights_K).sum(), logits_KV)
    torch.testing.assert_close(ours_K, truth_K)
    torch.testing.assert_close(gradient_KV, expected_KV)

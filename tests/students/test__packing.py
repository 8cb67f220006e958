"""Attention within a packed row: how it is computed on a CPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from cotdistill.students._packing import packed_attention


@pytest.mark.parametrize(("length", "exact"), [(135, True), (600, False)])
def test_short_parts_attend_in_float32_under_autocast(length: int, exact: bool) -> None:
    torch.manual_seed(0)
    module, shape = SimpleNamespace(is_causal=True, training=True), (1, 2, length, 64)
    query, key, value = (torch.randn(shape, requires_grad=True) for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = packed_attention(module, query, key, value.bfloat16(), None, packed=[(length,)])
    expected = scaled_dot_product_attention(query, key, value.bfloat16().float(), is_causal=True)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, expected.transpose(1, 2).bfloat16()) == exact

"""Weights to start training from in which look-ups by content already work.

Chained facts, swaps and copied names all need the same thing: find the token that stood behind this
word before, and repeat it (an induction head, Olsson et al. 2022). That takes two layers, of no use
without each other, so training finds it late or never: a model of a million parameters had not
found it after 14M tokens. Here the two are set by hand, in four of the first heads, and
everything that would drown them out starts silent (output matrices of zeros), as in mimetic
initialization (Trockman and Kolter 2023). All of it is trained further.

    first layer   head 0 looks one token back, head 1 two; each writes what it sees into dimensions
                  of its own
    second layer  head 0 looks where this token stood one back ("Ana" finds the red of "Ana red"),
                  head 1 where the token before this one stood two back ("Ana has" finds the red of
                  "Ana has red"); both copy what they find to the output
"""

# ruff: noqa: N806 (shape suffixes: D width, S slow dimensions of a head, H width of a head)

from __future__ import annotations

from typing import Any

import torch

__all__ = ["start_looking_up"]

FAST_PAIRS = 8
"""Rotary pairs that turn too fast to compare tokens a hundred places apart; matching omits them."""
PEAK = 6.0
"""How much a head that looks back prefers its place to the next one, in logits."""
IDENTITY = 0.3
"""Spread of the embeddings: differences between names must outlast the first steps, which make all
names alike."""
MATCH, WRITE, COPY = 2.0, 2.0 * IDENTITY, 15 * IDENTITY
"""Sizes of the matching queries and keys, of what the first layer writes (about that of an
embedding), and of what is copied."""


def start_looking_up(model: Any, seed: int) -> None:
    """Set the first weights of a fresh Llama-shaped model.

    Its attention has biases, and heads of at least 32 dimensions.
    """
    config, layers = model.config, model.model.layers
    frequencies, width = model.model.rotary_emb.inv_freq, config.head_dim
    pairs = torch.arange(FAST_PAIRS, width // 2)
    slow = torch.cat([pairs, pairs + width // 2])
    draw = torch.Generator().manual_seed(seed)
    basis_DD = torch.linalg.qr(torch.randn(config.hidden_size, config.hidden_size, generator=draw))[
        0
    ].T
    here_SD, one_back_SD, two_back_SD, found_HD, _ = basis_DD.split(
        [len(slow), len(slow), len(slow), width, config.hidden_size - 3 * len(slow) - width]
    )
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(0.0, IDENTITY, generator=draw)
        model.model.norm.weight.fill_(0.03 / IDENTITY)
        for layer in layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        peak = (PEAK * width**0.5 / (1 - torch.cos(frequencies)).sum()).sqrt()
        for head, written_SD in enumerate((one_back_SD, two_back_SD)):
            attention, rows = layers[0].self_attn, slice(head * width, (head + 1) * width)
            # With constant queries and keys the rotary position embedding alone scores: highest at
            # the place it was turned to.
            angles = frequencies * (head + 1)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
                projection.weight[rows] = 0.0
            attention.q_proj.bias[rows] = peak * torch.cat([angles.cos(), -angles.sin()])
            attention.k_proj.bias[rows] = peak * torch.cat(
                [torch.ones(width // 2), torch.zeros(width // 2)]
            )
            used = slice(head * width, head * width + len(slow))
            attention.v_proj.weight[used] = here_SD
            attention.o_proj.weight[:, used] = WRITE * written_SD.T
        for head, (query_SD, key_SD) in enumerate(
            ((here_SD, one_back_SD), (one_back_SD, two_back_SD))
        ):
            attention, rows = layers[1].self_attn, slice(head * width, (head + 1) * width)
            attention.q_proj.weight[rows] = 0.0
            attention.k_proj.weight[rows] = 0.0
            attention.q_proj.weight[head * width + slow] = MATCH * query_SD
            attention.k_proj.weight[head * width + slow] = MATCH * key_SD
            attention.v_proj.weight[rows] = found_HD
            attention.o_proj.weight[:, rows] = COPY * found_HD.T

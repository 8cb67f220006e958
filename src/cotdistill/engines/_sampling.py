# ruff: noqa: N803, N806 - tensor names carry their shape
"""Choosing the next token of every row from its own stream of random numbers.

A row's numbers come from a seed made of its request and sample index, and a token is chosen by
inverting the cumulative distribution at the row's next number. So sample i of a request does not
depend on what else is in the batch.
"""

import hashlib
import json

import numpy as np
import torch

from cotdistill.records import Request


def random_numbers(request: Request, sample_index: int, count: int) -> list[float]:
    """Return `count` uniform numbers in [0, 1) that belong to this sample of this request on every
    machine.
    """
    fields = request.to_json()
    # The seed's text has a name of its own for the prefill: a renamed field changes no draw.
    fields["begin"] = fields.pop("prefill")
    text = json.dumps([fields, sample_index], ensure_ascii=False, sort_keys=True)
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    numbers: list[float] = np.random.Generator(np.random.Philox(key=key)).random(count).tolist()
    return numbers


def choose(
    logits_BV: torch.Tensor, temperatures: list[float], top_ps: list[float], uniforms: list[float]
) -> tuple[list[int], list[float]]:
    """Return the token and its log-probability (in nats, at temperature 1) for each row;
    temperature 0 takes the likeliest.

    Args:
        logits_BV: float32, rows × vocabulary.
    """
    if logits_BV.device.type == "mps":  # has no float64
        logits_BV = logits_BV.cpu()
    tokens_B = logits_BV.argmax(dim=-1)
    sampled = [row for row, temperature in enumerate(temperatures) if temperature > 0]
    if sampled:
        rows = torch.tensor(sampled, device=logits_BV.device)
        tokens_B[rows] = _sample(
            logits_BV[rows],
            logits_BV.new_tensor([temperatures[row] for row in sampled]),
            logits_BV.new_tensor([top_ps[row] for row in sampled], dtype=torch.float64),
            logits_BV.new_tensor([uniforms[row] for row in sampled], dtype=torch.float64),
        )
    chosen_B = logits_BV.gather(1, tokens_B[:, None])[:, 0] - logits_BV.logsumexp(dim=-1)
    return tokens_B.tolist(), chosen_B.tolist()


def _sample(
    logits_SV: torch.Tensor,
    temperatures_S: torch.Tensor,
    top_ps_S: torch.Tensor,
    uniforms_S: torch.Tensor,
) -> torch.Tensor:
    probabilities_SV = torch.softmax((logits_SV / temperatures_S[:, None]).double(), dim=-1)
    if bool((top_ps_S < 1).any()):
        sorted_SV, order_SV = probabilities_SV.sort(dim=-1, descending=True, stable=True)
        # A token stays while the probability before it is below top_p: the likeliest always stays.
        outside_SV = (sorted_SV.cumsum(-1) - sorted_SV) >= top_ps_S[:, None]
        sorted_SV = sorted_SV.masked_fill(outside_SV, 0.0)
        probabilities_SV = torch.zeros_like(probabilities_SV).scatter(1, order_SV, sorted_SV)
    cumulative_SV = probabilities_SV.cumsum(dim=-1)
    total_S = cumulative_SV[:, -1]
    # Strictly below the total, so that a token of probability 0 is never taken.
    target_S = torch.minimum(
        uniforms_S * total_S, torch.nextafter(total_S, torch.zeros_like(total_S))
    )
    return torch.searchsorted(cumulative_SV, target_S[:, None], right=True)[:, 0]

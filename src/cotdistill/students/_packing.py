# ruff: noqa: N803, N806 - tensor names carry their shape
"""Several prompts, each with its targets, in one row of tokens that a causal model reads at once.

The targets of a prompt stand behind it. Each sees the prompt and itself, at the positions that it
would have alone, so losses and gradients are those of separate rows; all other layers see one long
row without padding. On a CPU attention is computed target by target, exactly what is needed; on an
accelerator, where every kernel has a price, in one call over lines of equal width with a mask.
On a CPU T5's decoder reads a row too, of targets; each sees itself and the states of its prompt.

Shapes: L tokens, H heads, D dimension, G lines, S columns of a line.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "cotdistill"
"""Name under which transformers' models find `packed_attention`."""
_ALIGNED = 16
"""Lines have a multiple of this many columns: kernels copy masks of other widths."""
_SHORT = 512
"""Keys up to which a CPU attends faster in float32: torch's bfloat16 kernel has a price for each
product of a head."""

Parts = tuple[int, ...]
"""Lengths of a prompt and of the targets that share it; (length,) is a row by itself."""


def can_pack(model: Any) -> bool:
    """Return whether the model can read a packed row: every layer attends to all earlier tokens,
    through transformers' interface, at positions and with logits that the caller chooses."""
    if model.config.is_encoder_decoder or not model._can_set_attn_implementation():
        return False
    accepted = inspect.signature(model.forward).parameters
    layers = DynamicCache(config=model.config).layers
    return (
        bool(layers)
        and all(type(layer) is DynamicLayer for layer in layers)
        and {"position_ids", "logits_to_keep"} <= accepted.keys()
        and model.config._attn_implementation in ("sdpa", ATTENTION)
    )


def can_pack_targets(model: Any) -> bool:
    """Return whether the model's decoder can read a row of targets: T5's can, to which positions
    are distances that attention is given."""
    own = model.config.model_type in ("t5", "mt5")
    return own and model.config._attn_implementation in ("sdpa", ATTENTION)


def limit_distances(model: Any) -> None:
    """Have T5's decoder compute its bias for the distances within a target, not within a row."""

    def limit(attention: Any, states: Any, options: dict[str, Any]) -> Any:
        if "targets" in options and options["position_bias"] is None:
            longest = max(size for _, *targets in options["targets"] for size in targets)
            options["position_bias"] = attention.compute_bias(longest, longest)
        return states, options

    first = model.get_decoder().block[0].layer[0].SelfAttention
    first.register_forward_pre_hook(limit, with_kwargs=True)


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed: Sequence[Parts] | int = 0,
    targets: Sequence[Parts] = (),
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within a packed row (1 × H × L × D) of these groups, or this number of lines; or, in
    a decoder, from the targets of these groups.

    Without them it is transformers' own sdpa, so the model can be asked anything else.
    """
    states = (query, key, value)
    if targets and module.is_decoder:
        attended = _to_itself if module.is_causal else _to_prompt
        return torch.cat(list(attended(module, states, targets, **options)), dim=1), None
    if not packed:
        return sdpa_attention_forward(module, *states, attention_mask, **options)[0], None
    if not isinstance(packed, int):
        return torch.cat(list(_by_target(module, states, packed, options)), dim=1), None
    folded = (
        one.transpose(1, 2).reshape(packed, -1, one.shape[1], one.shape[3]).transpose(1, 2)
        for one in states
    )
    out_GSHD, _ = sdpa_attention_forward(module, *folded, attention_mask, **options)
    return out_GSHD.flatten(0, 1)[None], None


AttentionInterface.register(ATTENTION, packed_attention)
# Without a mask of its own, a model would see padding wherever it reads no packed row.
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def _by_target(
    module: Any, states: Sequence[torch.Tensor], groups: Sequence[Parts], options: dict[str, Any]
) -> Iterable[torch.Tensor]:
    sizes = [size for parts in groups for size in parts]
    pieces = zip(*(torch.split(one, sizes, dim=2) for one in states), strict=True)
    for prompt, *targets in groups:
        query, *before = next(pieces)
        yield _attend(module, (query, *before), None, options)
        for size in targets:
            query, *own = next(pieces)
            key, value = (torch.cat(pair, dim=2) for pair in zip(before, own, strict=True))
            seen = torch.ones(1, 1, size, prompt + size, dtype=torch.bool).tril(prompt)
            yield _attend(module, (query, key, value), seen, options)


def _attend(
    module: Any, states: Sequence[torch.Tensor], mask: torch.Tensor | None, options: dict[str, Any]
) -> Any:
    query, key, value = states
    if key.shape[2] > _SHORT:
        return sdpa_attention_forward(module, query, key, value, mask, **options)[0]
    exact = (query.float(), key.float(), value.float())
    with torch.autocast("cpu", enabled=False):  # it would round them again
        return sdpa_attention_forward(module, *exact, mask, **options)[0].to(value.dtype)


def _to_itself(
    module: Any,
    states: Sequence[torch.Tensor],
    groups: Sequence[Parts],
    position_bias: torch.Tensor,
    **options: Any,
) -> Iterable[torch.Tensor]:
    sizes = [size for _, *targets in groups for size in targets]
    for size, *own in zip(sizes, *(torch.split(one, sizes, dim=2) for one in states), strict=True):
        bias = position_bias[:, :, :size, :size]
        yield _attend(module, own, None, {**options, "position_bias": bias})


def _to_prompt(
    module: Any,
    states: Sequence[torch.Tensor],
    groups: Sequence[Parts],
    position_bias: torch.Tensor,  # T5 has none between a target and its prompt: zeros
    **options: Any,
) -> Iterable[torch.Tensor]:
    queries = torch.split(states[0], [sum(targets) for _, *targets in groups], dim=2)
    encoded = (torch.split(one, 1) for one in states[1:])
    for query, key, value, (prompt, *_) in zip(queries, *encoded, groups, strict=True):
        seen = (key[:, :, :prompt], value[:, :, :prompt])
        yield _attend(module, (query, *seen), None, options)


def pack(
    prompts: Sequence[Sequence[int]], targets: Sequence[Sequence[Sequence[int]]], *, lines: bool
) -> dict[str, Any]:
    """Return what a model reads of prompts and each one's targets; at the places `read` of the row
    it predicts every target token in order.

    The last token of a target predicts nothing and is not read.
    """
    groups = [_parts(*pair) for pair in zip(prompts, targets, strict=True)]
    sizes = [sum(map(len, parts)) for parts in groups]
    columns = -(-max(sizes) // _ALIGNED) * _ALIGNED if lines else sum(sizes)
    starts = _starts(sizes, columns)
    count = 1 + max(starts) // columns
    # Rows of the table: token ids, positions, groups (-1 is padding), parts.
    table = torch.zeros((4, count * columns), dtype=torch.long)
    table[2] = -1
    read: list[int] = []
    for group, (start, parts) in enumerate(zip(starts, groups, strict=True)):
        columns_of_group = slice(start, start + sizes[group])
        table[:, columns_of_group] = _table(group, len(prompts[group]), parts)
        read += _read(start + len(prompts[group]), targets[group])
    made = {"input_ids": table[None, 0], "position_ids": table[None, 1]}
    made["read"] = torch.tensor(read)
    if not lines:
        return {**made, "packed": [tuple(map(len, parts)) for parts in groups]}
    group_GS, part_GS = table[2:].view(2, count, columns)
    return {**made, "packed": count, "visible": _visible(group_GS, part_GS)}


def _table(group: int, prompt: int, parts: Sequence[Sequence[int]]) -> torch.Tensor:
    columns = [
        (token, place + (prompt if number else 0), group, number)
        for number, part in enumerate(parts)
        for place, token in enumerate(part)
    ]
    return torch.tensor(columns).T


def _read(start: int, targets: Sequence[Sequence[int]]) -> list[int]:
    """Return the places that predict the tokens of targets behind a prompt that ends at `start`."""
    read, behind = list[int](), start
    for target in targets:
        read += [start - 1, *range(behind, behind + len(target) - 1)]
        behind += len(target) - 1
    return read


def _parts(prompt: Sequence[int], targets: Sequence[Sequence[int]]) -> list[list[int]]:
    if len(targets) == 1:
        return [[*prompt, *targets[0][:-1]]]
    return [list(prompt), *([*target[:-1]] for target in targets if len(target) > 1)]


def _starts(sizes: Sequence[int], columns: int) -> list[int]:
    """Return where each group begins, the longest placed first into the first line with room."""
    starts, used = [0] * len(sizes), list[int]()
    order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    for place in order if columns < sum(sizes) else range(len(sizes)):
        line = next((n for n, at in enumerate(used) if at + sizes[place] <= columns), len(used))
        if line == len(used):
            used.append(0)
        starts[place] = line * columns + used[line]
        used[line] += sizes[place]
    return starts


def _visible(group_GS: torch.Tensor, part_GS: torch.Tensor) -> torch.Tensor:
    """Return the mask (G, 1, S, S): a token sees earlier ones of its own part and its prompt."""
    same_GSS = group_GS[:, :, None] == group_GS[:, None]
    part_GSS = (part_GS[:, None] == 0) | (part_GS[:, :, None] == part_GS[:, None])
    return (same_GSS & part_GSS).tril()[:, None]

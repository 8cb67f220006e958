# ruff: noqa: N806 - tensor names carry their shape
"""Training examples as tokens, in batches without waste whose order is the same in every run and after every kill.

Examples of one group share their prompt. They are kept together in packs, so that the trainer computes a prompt once
for all targets of a pack. Batches hold examples of similar length and always `batch_size` of them.

Shapes: N examples of a batch, U different prompts among them, P prompt columns (left padding), T target columns.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Sampler

from cotdistill.checkpoints.text import TextCodec
from cotdistill.errors import DataError
from cotdistill.records import Example

__all__ = ["Batches", "Collator", "Prepared", "Tokens", "prepare", "vanishing"]

IGNORED = -100
"""Label of a column that is not learnt from (the convention of torch's cross entropy)."""
_WINDOW = 50
"""Batches among which examples are sorted by length: enough against padding, little against randomness."""


@dataclass(frozen=True)
class Tokens:
    """One example as token ids; `key` is equal for examples that share their prompt, `by_mean` is that of `Example`."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    weight: float
    key: int
    by_mean: bool = False

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.target)

    @property
    def token_weight(self) -> float:
        """What the loss of each target token is multiplied by before all are added up."""
        return self.weight / len(self.target) if self.by_mean else self.weight

    @property
    def counts(self) -> int:
        """What the example adds to the number that the sum of losses is divided by."""
        return 1 if self.by_mean else len(self.target)


@dataclass(frozen=True)
class Prepared:
    """Tokenised examples and what had to be done to them."""

    rows: list[Tokens]
    left_out: int = 0
    cut: int = 0

    @property
    def tokens(self) -> int:
        return sum(row.length for row in self.rows)


def prepare(
    examples: Iterable[Example],
    codec: TextCodec,
    *,
    max_prompt: int,
    max_target: int,
    context: int | None,
) -> Prepared:
    """Tokenise examples in their student's format; the end token is learnt.

    An example whose prompt is too long is left out; a target that is too long is cut and then has no end token.

    Raises:
        DataError: no example is left, an empty target, or no end token in the tokenizer; the message has the remedy.
    """
    end = codec.tokenizer.eos_token_id
    if end is None:
        raise DataError(
            "the student's tokenizer has no end token: the student could never learn to stop"
        )
    rows: list[Tokens] = []
    keys: dict[tuple[str, str], int] = {}
    cut = left_out = 0
    last: str | None = None
    prompt: list[int] = []
    for number, example in enumerate(examples):
        if not example.target.strip():
            raise DataError(
                f"training example {number} has an empty target (prompt {example.prompt[:60]!r})"
            )
        if example.prompt != last:  # the examples of a question usually follow each other
            last, prompt = example.prompt, codec.prompt_ids(example.prompt)
        target = [*codec.target_ids(example.prompt, example.target), end]
        room = (
            max_target
            if context is None or codec.encoder_decoder
            else min(max_target, context - len(prompt))
        )
        if len(prompt) > max_prompt or room < 1 or (context is not None and len(prompt) > context):
            left_out += 1
            continue
        cut += len(target) > room
        key = (
            keys.setdefault((example.group, example.prompt), len(keys))
            if example.group
            else -1 - number
        )
        rows.append(
            Tokens(tuple(prompt), tuple(target[:room]), example.weight, key, example.by_mean)
        )
    if not rows:
        raise DataError(
            f"all {left_out} training examples have prompts over {max_prompt} tokens; raise `train.max_prompt_tokens`"
            if left_out
            else "no training examples"
        )
    return Prepared(rows, left_out, cut)


def vanishing(texts: Iterable[str], codec: TextCodec) -> dict[str, int]:
    """Characters that do not survive the tokenizer (T5 has no newline, `<` or `{`), with how often they occur."""
    lost: Counter[str] = Counter()
    for text in texts:
        back = codec.decode(codec.continuation_ids("", text))
        if back != text:
            lost += Counter(text) - Counter(back)
    lost.pop(" ", None)  # a space at the edge of a text is no loss
    return dict(lost.most_common())


class Batches(Sampler[list[int]]):
    """The batches of an epoch, as places in the rows; `rank` of `world` processes gets every world-th batch."""

    def __init__(
        self,
        rows: Sequence[Tokens],
        batch_size: int,
        pack: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._rows, self._batch_size, self._pack, self._seed = rows, batch_size, pack, seed
        self._rank, self._world = rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(math.ceil(len(self._rows) / self._batch_size) / self._world)

    def __iter__(self) -> Iterator[list[int]]:
        draw = random.Random(f"{self._seed}/{self.epoch}")
        packs = self._packs(draw)
        draw.shuffle(packs)
        order: list[int] = []
        window: list[list[int]] = []
        for pack in packs:
            window.append(pack)
            if sum(map(len, window)) >= _WINDOW * self._batch_size:
                order += self._by_length(window)
                window = []
        order += self._by_length(window)
        batches = [
            order[start : start + self._batch_size]
            for start in range(0, len(order), self._batch_size)
        ]
        draw.shuffle(batches)
        batches += batches[: -len(batches) % self._world]  # every process takes as many steps
        yield from batches[self._rank :: self._world]

    def _packs(self, draw: random.Random) -> list[list[int]]:
        groups: dict[int, list[int]] = {}
        for place, row in enumerate(self._rows):
            groups.setdefault(row.key, []).append(place)
        packs = []
        for members in groups.values():
            draw.shuffle(members)
            packs += [
                members[start : start + self._pack] for start in range(0, len(members), self._pack)
            ]
        return packs

    def _by_length(self, packs: list[list[int]]) -> list[int]:
        packs.sort(key=lambda pack: max(self._rows[place].length for place in pack))
        return [place for pack in packs for place in pack]


@dataclass
class Collator:
    """Makes tensors of a batch and counts padding. `share` computes equal prompts once."""

    share: bool
    end_padded: bool
    """Prompts are padded at their end (encoders) instead of their beginning."""
    slots: int = 0
    used: int = 0

    def __call__(self, rows: Sequence[Tokens]) -> dict[str, Any]:
        places: dict[Any, int] = {}
        prompt_of = [
            places.setdefault(row.prompt if self.share else i, len(places))
            for i, row in enumerate(rows)
        ]
        unique = [
            next(row.prompt for row, p in zip(rows, prompt_of, strict=True) if p == u)
            for u in range(len(places))
        ]
        width, depth = max(map(len, unique)), max(len(row.target) for row in rows)
        self.slots += width * len(unique) + depth * len(rows)
        self.used += sum(map(len, unique)) + sum(len(row.target) for row in rows)
        left, right = (0, 1) if self.end_padded else (1, 0)
        prompts = [
            [0] * (left * (width - len(ids))) + list(ids) + [0] * (right * (width - len(ids)))
            for ids in unique
        ]
        masks = [
            [0] * (left * (width - len(ids))) + [1] * len(ids) + [0] * (right * (width - len(ids)))
            for ids in unique
        ]
        labels_NT = torch.tensor(
            [[*row.target, *[IGNORED] * (depth - len(row.target))] for row in rows]
        )
        counted_NT = [
            [*row.target[: row.counts], *[IGNORED] * (depth - row.counts)] for row in rows
        ]
        return {
            "input_ids": torch.tensor(prompts),
            "attention_mask": torch.tensor(masks),
            "prompt_of": torch.tensor(prompt_of),
            "weights": torch.tensor([row.token_weight for row in rows]),
            "labels": labels_NT,
            "shift_labels": torch.tensor(counted_NT),  # where the Trainer counts what it divides by
        }


def fingerprint_text(examples: Sequence[Example]) -> str:
    """Examples as one text, for the fingerprint of a training."""
    return "\n".join(json.dumps(example.to_json(), ensure_ascii=False) for example in examples)

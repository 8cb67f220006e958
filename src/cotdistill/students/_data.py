"""Training examples as tokens, in batches whose order is the same in every run.

Shapes: M examples of a batch, N targets of them, T target columns.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler

from cotdistill.checkpoints.text import TextCodec
from cotdistill.contracts import Objective, TrainSettings
from cotdistill.errors import DataError
from cotdistill.records import Example
from cotdistill.students._packing import pack

IGNORED = -100
"""Label of a column that is not learnt from (the convention of torch's cross entropy)."""
_WINDOW = 50
"""Batches among which examples are sorted by length: enough against padding, little against
randomness."""


@dataclass(frozen=True)
class TokenizedExample:
    """One example as token ids. `size` is what it adds to the loss's divisor.

    `reference` holds the negative log-likelihoods of its target tokens under the reference model.
    """

    example: Example
    prompt: tuple[int, ...]
    targets: tuple[tuple[int, ...], ...]
    weight: float
    size: int
    reference: tuple[float, ...] = ()

    @property
    def learnt(self) -> int:
        return sum(map(len, self.targets))

    @property
    def length(self) -> int:
        return len(self.prompt) + self.learnt


@dataclass(frozen=True)
class Prepared:
    """Tokenised examples and what had to be done to them."""

    rows: list[TokenizedExample]
    left_out: int = 0
    cut: int = 0

    @property
    def tokens(self) -> int:
        return sum(row.length for row in self.rows)


def prepare(
    examples: Iterable[Example],
    codec: TextCodec,
    objective: Objective,
    settings: TrainSettings,
    context: int | None = None,
) -> Prepared:
    """Tokenise examples in their student's format; the end token is learnt.

    An example whose prompt is too long is left out; a target that is too long is cut and then has
    no end token. `context` is the number of positions that the model has, None for any number.

    Raises:
        DataError: no example is left, an empty target, or no end token in the tokenizer; the
            message has the remedy.
    """
    end = codec.tokenizer.eos_token_id
    if end is None:
        raise DataError(
            "the student's tokenizer has no end token, so the student could never learn to stop: "
            "set `eos_token` in its tokenizer_config.json"
        )
    rows: list[TokenizedExample] = []
    cut = left_out = 0
    last: str | None = None
    prompt: list[int] = []
    for number, example in enumerate(examples):
        texts = objective.targets(example)
        if not all(text.strip() for text in texts):
            raise DataError(
                f"training example {number} has an empty target (prompt {example.prompt[:60]!r})"
            )
        if example.prompt != last:  # the examples of a question usually follow each other
            last, prompt = example.prompt, codec.prompt_ids(example.prompt)
        room = settings.max_target_tokens
        if context is not None and not codec.encoder_decoder:
            room = min(room, context - len(prompt))
        too_long = context is not None and len(prompt) > context
        if len(prompt) > settings.max_prompt_tokens or room < 1 or too_long:
            left_out += 1
            continue
        whole = [(*codec.target_ids(example.prompt, text), end) for text in texts]
        cut += sum(len(target) > room for target in whole)
        targets = tuple(target[:room] for target in whole)
        size = objective.size([len(target) for target in targets])
        rows.append(TokenizedExample(example, tuple(prompt), targets, example.weight, size))
    if not rows and not left_out:
        raise DataError("no training examples")
    if not rows:
        raise DataError(
            f"all {left_out} training examples have prompts over {settings.max_prompt_tokens} "
            "tokens; raise `train.max_prompt_tokens`"
        )
    return Prepared(rows, left_out, cut)


def out_of_vocabulary(texts: Iterable[str], codec: TextCodec) -> dict[str, int]:
    """Count the characters that do not survive the tokenizer (T5 has no newline, `<` or `{`)."""
    lost: Counter[str] = Counter()
    for text in texts:
        back = codec.decode(codec.continuation_ids("", text))
        if back != text:
            lost += Counter(text) - Counter(back)
    lost.pop(" ", None)  # a space at the edge of a text is no loss
    return dict(lost.most_common())


class TokenizedExamples(Dataset[TokenizedExample]):
    """The rows by place; `~place` is the same row as a filler that nothing is learnt from."""

    def __init__(self, rows: Sequence[TokenizedExample]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> TokenizedExample:
        return self._rows[place] if place >= 0 else replace(self._rows[~place], weight=0.0, size=0)


class ExampleBatches(Sampler[list[int]]):
    """The batches of an epoch as places in the rows, for process `rank` of `world`.

    With `together` the rows of a prompt are drawn at once, else one by one.
    A step is drawn as `accumulation` batches. Its examples are then spread over batches and
    processes so that equal prompts meet: what a step holds depends on neither.
    """

    def __init__(
        self,
        rows: Sequence[TokenizedExample],
        batch_size: int,
        seed: int,
        accumulation: int = 1,
        rank: int = 0,
        world: int = 1,
        together: bool = False,
    ) -> None:
        self._rows, self._batch_size, self._seed = rows, batch_size, seed
        self._together = together
        self._accumulation, self._rank, self._world = accumulation, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        draw = random.Random(f"{self._seed}/{self.epoch}")
        places = self._shuffled(draw)
        window = _WINDOW * self._batch_size
        order: list[int] = []
        for start in range(0, len(places), window):
            part = places[start : start + window]
            order += sorted(part, key=self._length)
        size, steps = self._batch_size, self._accumulation
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        draw.shuffle(batches)
        for start in range(0, len(batches), steps):
            yield from self._spread(batches[start : start + steps])

    def _shuffled(self, draw: random.Random) -> list[int]:
        # Every figure in docs/ and recipes/ was drawn in this order: by prompt first, then all.
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, row in enumerate(self._rows):
            groups.setdefault(row.prompt, []).append(place)
        for members in groups.values():
            draw.shuffle(members)
        drawn = list(groups.values())
        if self._together:
            draw.shuffle(drawn)
        places = [place for members in drawn for place in members]
        if not self._together:
            draw.shuffle(places)
        return places

    def _length(self, place: int) -> tuple[Any, ...]:
        row = self._rows[place]
        return (len(row.prompt), row.prompt) if self._together else (row.length,)

    def _spread(self, batches: list[list[int]]) -> Iterator[list[int]]:
        """Yield this process's part of every batch of a step."""
        step = [place for batch in batches for place in batch]
        parts = len(batches) * self._world
        if parts > 1:
            step.sort(key=lambda place: (len(self._rows[place].prompt), self._rows[place].prompt))
        for part in range(self._rank, parts, self._world):
            own = step[len(step) * part // parts : len(step) * (part + 1) // parts]
            # Every process takes as many steps; the last batch may be smaller than their number.
            yield own or [~step[0]]


Form = Literal["row", "lines", "padded", "encoder", "targets"]
"""What a model reads: one row (`_packing`), lines of it, prompts padded on their left, or prompts
of an encoder, padded at their end, with targets padded or in one row."""


@dataclass
class Collator:
    """Makes tensors of a batch and counts padding. `share` computes equal prompts once; their
    examples then stand beside each other."""

    share: bool
    form: Form
    slots: int = 0
    used: int = 0

    def __call__(self, rows: Sequence[TokenizedExample]) -> dict[str, Any]:
        if self.share:
            places: dict[tuple[int, ...], int] = {}
            for row in rows:
                places.setdefault(row.prompt, len(places))
            rows = sorted(rows, key=lambda row: places[row.prompt])
            groups = [(prompt, _targets(same)) for prompt, same in groupby(rows, _prompt)]
        else:
            groups = [(row.prompt, [target]) for row in rows for target in row.targets]
        prompts, own = [prompt for prompt, _ in groups], [targets for _, targets in groups]
        packed = self.form in ("row", "lines")
        made = pack(prompts, own, lines=self.form == "lines") if packed else self._pad(prompts, own)
        targets = _targets(rows)
        lengths = torch.tensor([len(target) for target in targets])
        # A packed row leaves out every target's last token, which predicts nothing.
        behind = len(targets) if packed else made["labels"].numel()
        if self.form == "targets":
            made["targets"] = [(len(one), *map(len, of)) for one, of in groups]
            behind = int(lengths.sum())
        self.slots += made["input_ids"].numel() + behind
        self.used += sum(map(len, prompts)) + int(lengths.sum())
        return {
            **made,
            "tokens": torch.tensor([token for target in targets for token in target]),
            "target_of": torch.arange(len(targets)).repeat_interleave(lengths),
            "lengths": lengths.float(),
            "weights": torch.tensor([row.weight for row in rows], dtype=torch.float32),
            "reference": torch.tensor([value for row in rows for value in row.reference]),
            "rows": list(rows),
        }

    def _pad(
        self, prompts: Sequence[tuple[int, ...]], targets: Sequence[list[tuple[int, ...]]]
    ) -> dict[str, Any]:
        ids = [torch.tensor(prompt) for prompt in prompts]
        side = "left" if self.form == "padded" else "right"
        flat = [torch.tensor(target) for own in targets for target in own]
        labels = pad_sequence(flat, True, IGNORED)
        return {
            "input_ids": pad_sequence(ids, True, padding_side=side),
            "attention_mask": pad_sequence(
                [torch.ones_like(row) for row in ids], True, padding_side=side
            ),
            "prompt_of": torch.arange(len(ids)).repeat_interleave(
                torch.tensor([len(own) for own in targets])
            ),
            "labels": labels,
            "read": (labels != IGNORED).flatten().nonzero()[:, 0],
        }


def _prompt(row: TokenizedExample) -> tuple[int, ...]:
    return row.prompt


def _targets(rows: Iterable[TokenizedExample]) -> list[tuple[int, ...]]:
    return [target for row in rows for target in row.targets]


def pieces(rows: Sequence[TokenizedExample], limit: int | None) -> list[list[TokenizedExample]]:
    """Return the rows in pieces of at most `limit` tokens, equal prompts together and counted
    once; a longer row is a piece by itself."""
    if limit is None:
        return [list(rows)]
    made: list[list[TokenizedExample]] = []
    used = 0
    for row in sorted(rows, key=lambda row: (len(row.prompt), row.prompt)):
        again = bool(made) and made[-1][-1].prompt == row.prompt
        used += row.learnt + (0 if again else len(row.prompt))
        if not made or used > limit:
            made.append([])
            used = row.length
        made[-1].append(row)
    return made

"""Shows what a student will learn from, before it is trained: each token of an example, and whether its loss counts.

?The answer is  → learnt;  the rest is read only. Special tokens are shown in angle brackets of the tokenizer's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cotdistill.checkpoints.loading import context_limit
from cotdistill.checkpoints.text import TextCodec
from cotdistill.records import Example
from cotdistill.students._data import Prepared, prepare, vanishing
from cotdistill.students.loading import build_base, codec_for
from cotdistill.students.settings import StudentSettings, TrainSettings

__all__ = ["show_examples"]


def show_examples(
    examples: Sequence[Example], student: StudentSettings, train: TrainSettings, count: int = 3
) -> str:
    """The first `count` examples token by token, and totals over all: a text for the terminal."""
    model, tokenizer = build_base(student, seed=0)
    codec = codec_for(student, tokenizer, encoder_decoder=model.config.is_encoder_decoder)
    data = prepare(
        examples,
        codec,
        max_prompt=train.max_prompt_tokens,
        max_target=train.max_target_tokens,
        context=context_limit(model),
    )
    blocks = [_block(number, data, codec) for number in range(min(count, len(data.rows)))]
    return "\n\n".join([*blocks, _totals(data, examples, codec)])


def _block(number: int, data: Prepared, codec: TextCodec) -> str:
    row = data.rows[number]
    read, learnt = _marked(row.prompt, codec.tokenizer), _marked(row.target, codec.tokenizer)
    weight = "" if row.weight == 1 else f", weight {row.weight}"
    return (
        f"example {number + 1}: {len(row.prompt)} tokens read, {len(row.target)} learnt{weight}\n"
        f"  read    {read}\n  learnt  {learnt}"
    )


def _marked(ids: Sequence[int], tokenizer: Any) -> str:
    return "|".join(_shown(token) for token in tokenizer.convert_ids_to_tokens(list(ids)))


def _shown(token: str) -> str:
    for mark, text in (("Ġ", " "), ("▁", " "), ("Ċ", "\\n"), ("\n", "\\n")):
        token = token.replace(mark, text)
    return token


def _totals(data: Prepared, examples: Sequence[Example], codec: TextCodec) -> str:
    longest = max(data.rows, key=lambda row: row.length)
    learnt = sum(len(row.target) for row in data.rows)
    lines = [
        f"{len(data.rows)} examples of {len({row.key for row in data.rows})} prompts: {data.tokens} tokens, {learnt} of "
        f"them learnt; longest {len(longest.prompt)} + {len(longest.target)}; {data.left_out} left out, {data.cut} cut"
    ]
    lost = vanishing(
        (text for example in examples for text in (example.prompt, example.target)), codec
    )
    if lost:
        lines.append(
            "no token for "
            + ", ".join(f"{character!r} ×{count}" for character, count in lost.items())
        )
    return "\n".join(lines)

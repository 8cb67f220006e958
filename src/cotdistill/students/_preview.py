"""Preview of a training set: each token of an example, and which ones are learnt."""

from collections.abc import Sequence
from typing import Any

from cotdistill.checkpoints.loading import context_limit
from cotdistill.checkpoints.text import TextCodec
from cotdistill.contracts import TrainSettings
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.records import Example
from cotdistill.students._data import Prepared, out_of_vocabulary, prepare
from cotdistill.students._loading import build_base
from cotdistill.students._settings import TransformersSettings


def preview_examples(
    examples: Sequence[Example],
    student: TransformersSettings,
    settings: TrainSettings,
    count: int = 3,
) -> str:
    """Return the first `count` examples token by token and totals over all, for the terminal."""
    model, codec = build_base(student)
    data = prepare(examples, codec, CrossEntropy(), settings, context_limit(model.config))
    blocks = [_block(number, data, codec) for number in range(min(count, len(data.rows)))]
    return "\n\n".join([*blocks, _totals(data, examples, codec)])


def _block(number: int, data: Prepared, codec: TextCodec) -> str:
    row = data.rows[number]
    read = _marked(row.prompt, codec.tokenizer)
    learnt = _marked(row.targets[0], codec.tokenizer)
    weight = "" if row.weight == 1 else f", weight {row.weight}"
    return (
        f"example {number + 1}: {len(row.prompt)} tokens read, {row.learnt} learnt{weight}\n"
        f"  read    {read}\n  learnt  {learnt}"
    )


def _marked(ids: Sequence[int], tokenizer: Any) -> str:
    """Return the tokens with a bar between any two, spaces and line ends as text."""
    return "|".join(_readable(token) for token in tokenizer.convert_ids_to_tokens(list(ids)))


def _readable(token: str) -> str:
    for mark, text in (("Ġ", " "), ("▁", " "), ("Ċ", "\\n"), ("\n", "\\n")):
        token = token.replace(mark, text)
    return token


def _totals(data: Prepared, examples: Sequence[Example], codec: TextCodec) -> str:
    longest = max(data.rows, key=lambda row: row.length)
    lines = [
        f"{len(data.rows)} examples of {len({row.prompt for row in data.rows})} prompts: "
        f"{data.tokens} tokens, {sum(row.learnt for row in data.rows)} of them learnt; longest "
        f"{len(longest.prompt)} + {longest.learnt}; {data.left_out} left out, {data.cut} cut"
    ]
    texts = (text for example in examples for text in (example.prompt, example.target))
    if lost := out_of_vocabulary(texts, codec):
        counts = ", ".join(f"{character!r} ×{count}" for character, count in lost.items())
        lines.append(f"out of the vocabulary: {counts}")
    return "\n".join(lines)

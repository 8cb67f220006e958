"""Turns: what was computed of a row that has left is not computed again for a prompt that begins as
it does, and changes no answer.
"""

from __future__ import annotations

import asyncio
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch

from cotdistill.engines._kept import SHORTEST, KeptRows, States
from cotdistill.engines.transformers import ModelEngine, TransformersEngine
from cotdistill.model.batcher import BatchedModel
from cotdistill.records import Completion, Request
from cotdistill.testing.tiny import tiny_checkpoint

LONG = tuple(range(SHORTEST))
QUESTIONS = [
    f"Q: {name} has {count} apples and buys 8 more. Then {name} gives 2 of them to a friend who "
    f"has none and eats 1 of those that are left. How many apples does {name} have now?"
    for count, name in enumerate(("Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gil"), 3)
]


def row(*tokens: int) -> tuple[int, ...]:
    return (*LONG, *tokens)


def marked(number: int) -> States:
    return [(torch.full((1, 1, 1), float(number)), torch.zeros(1, 1, 1))]


def kept(limit: int = 1000) -> KeptRows:
    """Return rows that are kept from now on, since a prompt has gone on from one."""
    rows = KeptRows()
    rows.limit(limit)
    rows.add(row(1), lambda: marked(0))
    assert rows.take([row(1, 2)]) == [([], 0)]
    return rows


def test_a_row_is_copied_only_once_a_prompt_has_gone_on_from_one() -> None:
    rows, copied = KeptRows(), list[int]()

    def copy() -> States:
        copied.append(1)
        return marked(1)

    rows.limit(1000)
    rows.add(row(1), copy)
    rows.take([tuple(range(100, 200))])
    rows.add(row(2), copy)
    assert not copied
    rows.take([row(2, 3)])
    rows.add(row(4), copy)
    assert copied and rows.known(row(4, 5)) == SHORTEST + 1


def test_a_prompt_finds_the_longest_common_beginning_and_computes_one_token_at_least() -> None:
    rows = kept()
    for number, last in enumerate([(1, 2, 3), (1, 2, 9, 9), (7,)], 1):
        rows.add(row(*last), lambda number=number: marked(number))  # type: ignore[misc]
    assert rows.known(row(1, 2, 3)) == SHORTEST + 2
    assert rows.known((99, *LONG)) == 0
    ((states, known),) = rows.take([row(1, 2, 9, 8, 8)])
    assert known == SHORTEST + 3 and float(states[0][0]) == 2


def test_rows_leave_in_order_when_there_is_no_room() -> None:
    rows = kept(limit=3 * (SHORTEST + 1))
    for last in (11, 12, 13, 14):
        rows.add(row(last), lambda: marked(1))
    assert [rows.known(row(last, 1)) > SHORTEST for last in (11, 12, 13, 14)] == [
        False,
        True,
        True,
        True,
    ]
    rows.add(tuple(range(200)), lambda: marked(1))  # longer than all the room
    assert rows.known(tuple(range(100, 201))) == 0
    rows.limit(-5)
    assert rows.known(row(14, 1)) == 0


def test_a_row_that_was_gone_on_from_is_kept_no_longer() -> None:
    rows = kept()
    rows.add(row(1, 2), lambda: marked(1))
    rows.add(row(*range(50, 90)), lambda: marked(2))
    # The second shares only a beginning with the prompts: others may go on from it.
    taken = rows.take([row(1, 2, 3), row(1, 2, 4), row(50, 1)])
    assert [known for _, known in taken] == [SHORTEST + 2, SHORTEST + 2, SHORTEST + 1]
    assert rows.known(row(1, 2, 3)) == SHORTEST
    assert rows.known(row(*range(50, 70))) == SHORTEST + 19


class Counting:
    """A model's forward passes: tokens of prompts that were computed."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens, forward = 0, model.forward

        @wraps(forward)  # whose signature says what the model takes
        def counted(**states: Any) -> Any:
            ids = states["input_ids"]
            self.tokens += ids.numel() if ids.shape[1] > 1 else 0
            return forward(**states)

        monkeypatch.setattr(model, "forward", counted)


async def in_turns(engine: ModelEngine, turns: int) -> list[list[Completion]]:
    """Answer every question in turns, each prompt the one before with what was written."""
    model = BatchedModel(engine)

    async def talk(question: str) -> list[Completion]:
        said, completions = question, list[Completion]()
        for _ in range(turns):
            (made,) = await model.complete(Request(said, max_tokens=9), [0])
            completions.append(made)
            said += f" | {made.text.strip()} ** so far"
        return completions

    talks = await asyncio.gather(*map(talk, QUESTIONS))
    await model.close()
    return list(talks)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize(
    ("sizes", "share"),
    [({}, 0.5), ({"batch_size": 3}, 0.5), ({"max_batch_tokens": 500}, 0.7)],
    ids=["all", "three", "no room"],
)
def test_turns_say_the_same_and_read_less(
    family: Any,
    sizes: dict[str, int],
    share: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = tiny_checkpoint(tmp_path, family, seed=1)

    def load(**settings: int) -> Any:
        form = TransformersEngine(device="cpu", **settings)
        return form.load(checkpoint, prompt_end=" ###", target_begin=" ")

    engine, alone = load(**sizes), load()
    read = Counting(engine.model, monkeypatch)
    talks = asyncio.run(in_turns(engine, turns=5))
    whole = 0
    for question, talk in zip(QUESTIONS, talks, strict=True):
        said = question
        for made in talk:
            (expected,) = alone.generate([(Request(said, max_tokens=9), 0)])
            assert (made.text, made.prompt_tokens) == (expected.text, expected.prompt_tokens)
            said += f" | {made.text.strip()} ** so far"
            whole += made.prompt_tokens
    assert read.tokens < whole * share  # padding counts as read


def test_who_goes_on_goes_first(tmp_path: Path) -> None:
    form = TransformersEngine(device="cpu", batch_size=1)
    engine: Any = form.load(tiny_checkpoint(tmp_path, "llama"), prompt_end=" ###")
    decoder = engine.decoding()

    def finish() -> list[int]:
        order = list[int]()
        while decoder.busy:
            order += [slot for slot, _ in decoder.step()]
        return order

    for _ in range(2):  # the first time shows that it is worth while
        decoder.add([(0, Request(QUESTIONS[0], max_tokens=4), 0)])
        finish()
        decoder.add([(1, Request(QUESTIONS[0] + " And then?", max_tokens=4), 0)])
        finish()
    decoder.add([(2, Request(QUESTIONS[5] * 2, max_tokens=4), 0)])
    decoder.add([(3, Request(QUESTIONS[0] + " And then? And now?", max_tokens=4), 0)])
    assert finish() == [3, 2]

"""Batches: every example once, the same in every run, and a step that holds the same examples
however it is spread over batches and processes."""

from __future__ import annotations

from cotdistill.records import Example
from cotdistill.students._data import (
    Collator,
    ExampleBatches,
    TokenizedExample,
    TokenizedExamples,
    pieces,
)

ROWS = [
    TokenizedExample(
        Example("s", f"{prompt}", f"{way}"), (prompt,) * (prompt + 1), ((way,) * (way + 1),), 1.0, 1
    )
    for prompt in range(5)
    for way in range(3)
]


def steps(size: int, accumulation: int, world: int) -> list[list[list[list[int]]]]:
    """The batches of each process of each step."""
    parts = [
        list(ExampleBatches(ROWS, size, seed=1, accumulation=accumulation, rank=rank, world=world))
        for rank in range(world)
    ]
    count = len(ExampleBatches(ROWS, size, seed=1))
    assert [len(part) for part in parts] == [count] * world
    return [
        [part[start : start + accumulation] for part in parts]
        for start in range(0, count, accumulation)
    ]


def test_an_epoch_holds_every_example_once_and_repeats() -> None:
    batches = ExampleBatches(ROWS, 4, seed=1)
    first = list(batches)
    assert sorted(place for batch in first for place in batch) == list(range(15))
    assert len(first) == len(batches) == 4
    assert list(batches) == first
    batches.set_epoch(1)
    assert list(batches) != first


def test_a_step_holds_the_same_examples_however_it_is_spread() -> None:
    whole = list(ExampleBatches(ROWS, 4, seed=1))
    for accumulation, world in ((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (1, 4)):
        for number, step in enumerate(steps(4, accumulation, world)):
            drawn = whole[number * accumulation : (number + 1) * accumulation]
            spread = [place for part in step for batch in part for place in batch if place >= 0]
            assert sorted(spread) == sorted(place for batch in drawn for place in batch)


def test_equal_prompts_of_a_step_meet_in_a_batch() -> None:
    (step,) = steps(4, 4, 1)
    prompts = [{ROWS[place].prompt for place in batch} for batch in step[0]]
    assert sum(map(len, prompts)) <= 8  # 15 examples of 5 prompts in 4 batches: 3 may be cut apart


def test_examples_of_a_prompt_can_be_drawn_together() -> None:
    batches = list(ExampleBatches(ROWS, 3, seed=1, together=True))
    assert sorted(place for batch in batches for place in batch) == list(range(15))
    assert [len({ROWS[place].prompt for place in batch}) for batch in batches] == [1] * 5
    alone = list(ExampleBatches(ROWS, 3, seed=1))
    assert max(len({ROWS[place].prompt for place in batch}) for batch in alone) > 1


def test_a_filler_teaches_nothing() -> None:
    rows = ROWS[:5]
    parts = [list(ExampleBatches(rows, 4, seed=1, rank=rank, world=4)) for rank in range(4)]
    flat = [place for part in parts for batch in part for place in batch]
    fillers = [place for place in flat if place < 0]
    assert len(fillers) == 3 and sorted(place for place in flat if place >= 0) == list(range(5))
    for place in fillers:
        row = TokenizedExamples(rows)[place]
        assert (row.weight, row.size, row.prompt) == (0.0, 0, rows[~place].prompt)


def test_equal_prompts_are_collated_once() -> None:
    batch = Collator(True, "padded")(ROWS[:5])
    assert batch["prompt_of"].tolist() == [0, 0, 0, 1, 1]
    assert batch["input_ids"].tolist() == [[0, 0], [1, 1]]
    assert batch["attention_mask"].tolist() == [[0, 1], [1, 1]]
    assert Collator(False, "encoder")(ROWS[:5])["attention_mask"].shape == (5, 2)


def test_pieces_hold_every_row_once_within_their_limit() -> None:
    made = pieces(ROWS[::-1], 12)
    flat = [row for piece in made for row in piece]
    assert sorted(map(id, flat)) == sorted(map(id, ROWS)) and len(made) > 3
    for piece in made:
        prompts = {row.prompt for row in piece}
        assert sum(map(len, prompts)) + sum(row.learnt for row in piece) <= 12
    assert pieces(ROWS, None) == [ROWS]
    assert [len(piece) for piece in pieces(ROWS[:3], 1)] == [1, 1, 1]

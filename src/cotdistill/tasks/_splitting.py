"""Splits of questions: published index files, seeded shares, whole templates, and a
validation share."""

import json
import random
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.text.templates import template

Splits = dict[str, list[Question]]
_T = TypeVar("_T")


def by_index_file(questions: Sequence[Question], path: Path) -> Splits:
    """Splits as a published file names them: {"train": [index], "test": [index]}.

    Raises:
        DataError: the file is malformed, names an index twice or one that does not exist.
    """
    try:
        indices = json.loads(path.read_text("utf-8"))
        chosen = {name: [questions[index] for index in part] for name, part in indices.items()}
    except (json.JSONDecodeError, AttributeError, TypeError, IndexError) as error:
        wrong = f"{path}: not an index file for {len(questions)} questions: {error}"
        raise DataError(wrong) from error
    seen: set[int] = set()
    for name, part in indices.items():
        if twice := seen.intersection(part):
            raise DataError(f"{path}: {name}: index {min(twice)} stands in two splits")
        seen.update(part)
    return chosen


def by_share(count: int, shares: Mapping[str, float], seed: int) -> dict[str, Sequence[int]]:
    """Return the places of `count` questions, shuffled by the seed and dealt by shares that sum to
    one; within a split they are in order."""
    import numpy as np

    order = array("I", range(count))
    random.Random(f"split/{seed}").shuffle(order)
    splits: dict[str, Sequence[int]] = {}
    dealt, reached = 0, 0.0
    for name, share in shares.items():
        reached += share
        end = round(reached * count)
        part = order[dealt:end]
        np.frombuffer(part, dtype=np.uint32).sort()  # a list of integers takes ten times as much
        splits[name], dealt = part, end
    return splits


def by_template(texts: Iterable[str], test_share: float, seed: int) -> dict[str, list[int]]:
    """Deal whole templates (the text with numbers and names normalised); return places.

    So no test question has a twin in train.
    """
    groups: dict[str, list[int]] = {}
    count = 0
    for count, text in enumerate(texts, 1):
        groups.setdefault(template(text), []).append(count - 1)
    order = sorted(groups)
    random.Random(f"template/{seed}").shuffle(order)
    test: set[int] = set()
    for name in order:
        if len(test) + len(groups[name]) / 2 <= test_share * count:
            test.update(groups[name])
    train = [place for place in range(count) if place not in test]
    return {"train": train, "test": sorted(test)}


def held_out(count: int, amount: float, seed: int) -> list[int]:
    """Return the places, of `count` training questions, of those that validate: a share below 1,
    else a number; none of fewer than two questions."""
    if not amount or count < 2:
        return []
    wanted = round(amount * count) if amount < 1 else int(amount)
    wanted = min(max(wanted, 1), count - 1)
    return sorted(random.Random(f"validation/{seed}").sample(range(count), wanted))


def carve_validation(splits: dict[str, list[_T]], amount: float, seed: int) -> dict[str, list[_T]]:
    """The splits with a validation split taken out of train, where there is none."""
    train = splits.get("train", [])
    chosen = [] if splits.get("validation") else held_out(len(train), amount, seed)
    if not chosen:
        return splits
    apart = set(chosen)
    return {
        **splits,
        "train": [one for place, one in enumerate(train) if place not in apart],
        "validation": [train[place] for place in chosen],
    }

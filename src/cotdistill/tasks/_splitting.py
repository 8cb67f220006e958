"""Splits of questions: published index files, seeded shares, whole templates, and a
validation share."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from cotdistill.errors import DataError
from cotdistill.records import Question
from cotdistill.text.templates import template

Splits = dict[str, list[Question]]


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


def by_share(questions: Sequence[Question], shares: Mapping[str, float], seed: int) -> Splits:
    """Questions shuffled by the seed and dealt by shares that sum to one; within a split they keep
    their order."""
    order = list(range(len(questions)))
    random.Random(f"split/{seed}").shuffle(order)
    splits: Splits = {}
    dealt, reached = 0, 0.0
    for name, share in shares.items():
        reached += share
        end = round(reached * len(questions))
        splits[name] = [questions[index] for index in sorted(order[dealt:end])]
        dealt = end
    return splits


def by_template(questions: Sequence[Question], test_share: float, seed: int) -> Splits:
    """Deal whole templates (the text with numbers and names normalised).

    So no test question has a twin in train.
    """
    groups: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        groups.setdefault(template(question.text), []).append(index)
    order = sorted(groups)
    random.Random(f"template/{seed}").shuffle(order)
    test: set[int] = set()
    for name in order:
        if len(test) + len(groups[name]) / 2 <= test_share * len(questions):
            test.update(groups[name])
    return {
        "train": [question for index, question in enumerate(questions) if index not in test],
        "test": [questions[index] for index in sorted(test)],
    }


def carve_validation(splits: Splits, amount: float, seed: int) -> Splits:
    """The splits with a validation split taken out of train, where there is none: a share below 1,
    else a count."""
    train = splits.get("train", [])
    if splits.get("validation") or not amount or len(train) < 2:
        return splits
    count = round(amount * len(train)) if amount < 1 else int(amount)
    count = min(max(count, 1), len(train) - 1)
    chosen = set(random.Random(f"validation/{seed}").sample(range(len(train)), count))
    return {
        **splits,
        "train": [question for index, question in enumerate(train) if index not in chosen],
        "validation": [train[index] for index in sorted(chosen)],
    }

"""Two runs beside each other: rows compared in pairs on the questions that are the same in both.

A question is the same where its text, context and options are, whatever file it came from and
whatever its id. Questions whose gold answers differ are left out and counted: a difference on them
would be one of the gold.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from cotdistill.evaluation.grid import Scored
from cotdistill.evaluation.pairs import PairedRows, paired
from cotdistill.records import Question, Verdict
from cotdistill.reporting.blocks import Chapter, Chart, Section
from cotdistill.reporting.charts import Interval, intervals
from cotdistill.reporting.scoreboard import Board, BoardRow, read_boards
from cotdistill.reporting.wording import interval, p_value, percent, points
from cotdistill.runs.run import Run
from cotdistill.util.files import read_records

Keyed = dict[tuple[str, int], Question]
"""Questions by their words and, where a split asks the same thing twice, its turn."""


@dataclass(frozen=True)
class ComparedBoards:
    """One task and split of each run; `ids` are the ids of the same questions in both."""

    first: Board
    second: Board
    ids: Sequence[tuple[str, str]]
    other_gold: Sequence[str]
    """The ids, in the first run, of questions with the same words and another gold answer."""
    only_first: int
    only_second: int


@dataclass(frozen=True)
class ComparedPair:
    """A row of each run on the same questions; `pair.difference` is the second less the first."""

    boards: ComparedBoards
    first: BoardRow
    second: BoardRow
    accuracies: tuple[float, float]
    pair: PairedRows


def compare_runs(first: Run, second: Run) -> tuple[list[ComparedBoards], list[ComparedPair]]:
    """Return the tasks of two runs that ask the same questions, and their rows in pairs.

    Rows of the same label are compared, and the best student of each run with the other's. Tasks
    without a common question are in no pair; p is corrected for all pairs (Holm).

    Raises:
        UserError: a run is not evaluated.
    """
    others = read_boards(second)
    boards = [
        _matched(first, board, second, other)
        for board in read_boards(first)
        for other in others
        if board.split == other.split
    ]
    found = [one for one in boards if one.ids or one.other_gold]
    return found, list(_pairs(found))


def _matched(first: Run, board: Board, second: Run, other: Board) -> ComparedBoards:
    own, its = (_keyed(run, one) for run, one in ((first, board), (second, other)))
    both = [key for key in own if key in its]
    same = [key for key in both if own[key].answer == its[key].answer]
    ids = [(own[key].id, its[key].id) for key in same]
    differing = [own[key].id for key in both if own[key].answer != its[key].answer]
    return ComparedBoards(board, other, ids, differing, len(own) - len(both), len(its) - len(both))


def _keyed(run: Run, board: Board) -> Keyed:
    turns: Counter[str] = Counter()
    found: Keyed = {}
    for question in run.questions(board.task, board.split):
        words = " ".join(question.block.casefold().split())
        found[words, turns[words]] = question
        turns[words] += 1
    return found


def _pairs(found: Sequence[ComparedBoards]) -> Iterator[ComparedPair]:
    rows = [(one, *two) for one in found if one.ids for two in _rows(one)]
    correct: list[Any] = []
    for one, first, second in rows:
        correct += [
            _correct(first, [id for id, _ in one.ids]),
            _correct(second, [id for _, id in one.ids]),
        ]
    # The second before the first: the difference is what the second run gained.
    places = [(2 * number + 1, 2 * number) for number in range(len(rows))]
    for (one, first, second), pair in zip(rows, paired(places, correct), strict=True):
        accuracies = correct[pair.second].mean(), correct[pair.first].mean()
        yield ComparedPair(one, first, second, (float(accuracies[0]), float(accuracies[1])), pair)


def _rows(one: ComparedBoards) -> Iterator[tuple[BoardRow, BoardRow]]:
    seconds = {row.label: row for row in one.second.rows if row.answered}
    for row in one.first.rows:
        if row.answered and row.label in seconds:
            yield row, seconds[row.label]
    best = [board.students[:1] for board in (one.first, one.second)]
    for first, second in zip(*best, strict=False):
        if first.label != second.label:
            yield first, second


def _correct(row: BoardRow, ids: Sequence[str]) -> Any:
    """Return the (seeds, questions) matrix of right answers to these questions."""
    seeds = []
    for cell in row.answered:
        scored = read_records(cell.folder / "scored.jsonl", Scored)
        right = {one.question_id: one.verdict is Verdict.CORRECT for one in scored}
        seeds.append([right[id] for id in ids])
    return np.array(seeds, dtype=float)


def chapter(
    first: Run, second: Run, found: Sequence[ComparedBoards], pairs: Sequence[ComparedPair]
) -> Chapter:
    """Return the comparison as a chapter of a report."""
    names = _names(first, second)
    sentences = [*_said(found, names), *(_verdict(pair, names) for pair in pairs)]
    blocks: list[Section | Chart] = []
    for one in found:
        own = [pair for pair in pairs if pair.boards is one]
        if own:
            blocks += [_chart(one, own, names), _section(one, own, names, len(pairs))]
    blocks += [_beside(run, name) for run, name in zip((first, second), names, strict=True)]
    blocks += [_differences(first, second, names)]
    return Chapter("compared", f"{names[0]} and {names[1]}", sentences, blocks)


def _names(first: Run, second: Run) -> tuple[str, str]:
    names = first.recipe.name, second.recipe.name
    return names if names[0] != names[1] else telling_apart(first.folder, second.folder)


def telling_apart(*folders: Path) -> tuple[str, str]:
    """Return of two folders' paths what tells them apart: "a" and "b" of runs/a/x and runs/b/x."""
    paths = [folder.resolve().parts for folder in folders]
    if paths[0] == paths[1]:
        return "first", "second"
    begin = _alike(*paths)
    end = _alike(*(path[begin:][::-1] for path in paths))
    parts = [path[begin : len(path) - end] for path in paths]
    if not all(parts):  # the one lies in the other
        parts = [path[begin - 1 :] for path in paths]
    first, second = ("/".join(part) for part in parts)
    return first, second


def _alike(first: Sequence[str], second: Sequence[str]) -> int:
    """Return with how many equal parts the two begin."""
    return sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(first, second, strict=False)))


def _title(one: ComparedBoards) -> str:
    same = one.first.name == one.second.name
    return one.first.name if same else f"{one.first.name} and {one.second.name}"


def _said(found: Sequence[ComparedBoards], names: tuple[str, str]) -> Iterator[str]:
    """Say of each task how many questions are the same, and what was not paired."""
    if not found:
        yield (
            "No question of one run is a question of the other: nothing is paired, and the "
            "accuracies below stand beside each other without a test."
        )
    for one in found:
        alone = f"{one.only_first} only in {names[0]}, {one.only_second} only in {names[1]}"
        yield f"{_title(one)}: {len(one.ids)} questions are the same; {alone}."
        if one.other_gold:
            yield (
                f"{_title(one)}: {len(one.other_gold)} questions have the same words and another "
                f"gold answer, and are not paired (first: {one.other_gold[0]})."
            )


def _verdict(one: ComparedPair, names: tuple[str, str]) -> str:
    pair = one.pair
    low, high = points(pair.low), points(pair.high)
    better = names[1] if pair.difference > 0 else names[0]
    verdict = f"{better} is better" if pair.p_corrected < 0.05 else "no difference is shown"
    return (
        f"{_title(one.boards)}, {_label(one)}: {percent(one.accuracies[0])} % in {names[0]}, "
        f"{percent(one.accuracies[1])} % in {names[1]}, {points(pair.difference)} points "
        f"[{low}, {high}], {p_value(pair.p_corrected)}: {verdict}."
    )


def _label(one: ComparedPair) -> str:
    same = one.first.label == one.second.label
    return one.first.label if same else f"{one.first.label} → {one.second.label}"


def _chart(one: ComparedBoards, own: Sequence[ComparedPair], names: tuple[str, str]) -> Chart:
    rows = {
        f"{name}: {row.label}": Interval(
            f"{name}: {row.label}", row.row.accuracy, row.row.low, row.row.high, kind
        )
        for pair in own
        for name, row, kind in (
            (names[0], pair.first, "prompted"),
            (names[1], pair.second, "student"),
        )
    }
    title = f"{_title(one)}: accuracies in each run"
    note = "On all questions of each run; the table below is on those that both have."
    return Chart(title, "Accuracies with 95 % intervals.", intervals(list(rows.values())), note)


def _section(
    one: ComparedBoards, own: Sequence[ComparedPair], names: tuple[str, str], tests: int
) -> Section:
    lines = (
        (_label(pair), *map(percent, pair.accuracies),
         f"{points(pair.pair.difference)} [{points(pair.pair.low)}, {points(pair.pair.high)}]",
         p_value(pair.pair.p_corrected),
         " / ".join(percent(share) for share in (pair.pair.both, pair.pair.second_only,
                                                 pair.pair.first_only, pair.pair.neither)))
        for pair in own
    )  # fmt: skip
    right = f"right: both / only {names[0]} / only {names[1]} / neither"
    header = ("row", f"{names[0]} %", f"{names[1]} %", "difference", "p", right)
    note = (
        f"On the {len(one.ids)} questions that both runs have. Differences in points with 95 % "
        f"intervals, {names[1]} less {names[0]}; paired tests, p corrected for all {tests} "
        "comparisons here (Holm). Shares of the questions in %."
    )
    return Section(_title(one), header, tuple(lines), note, prominent=True)


def _beside(run: Run, name: str) -> Section:
    lines = (
        (board.name, row.label, interval(row.row.accuracy, row.row.low, row.row.high),
         str(row.row.n))
        for board in read_boards(run) for row in board.rows
    )  # fmt: skip
    header = ("task", "row", "accuracy %", "n")
    return Section(f"All rows of {name}", header, tuple(lines), folded=True)


def _differences(first: Run, second: Run, names: tuple[str, str]) -> Section:
    """Return the settings of the two recipes that are not the same."""
    one, other = (dict(_flat(run.recipe.model_dump(mode="json"))) for run in (first, second))
    keys = [key for key in {**one, **other} if key not in ("name", "output")]
    lines = tuple(
        (key, one.get(key, "–"), other.get(key, "–"))
        for key in keys
        if one.get(key, "–") != other.get(key, "–")
    )
    return Section("Settings that differ", ("setting", *names), lines, prominent=True)


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting as "methods.2.samples" with its value; entries go by their labels."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _flat(one, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for number, one in enumerate(value):
            yield from _flat(one, f"{place}.{one.get('label', number)}")
    else:
        yield place, str(value)


def to_json(
    first: Run, second: Run, found: Sequence[ComparedBoards], pairs: Sequence[ComparedPair]
) -> dict[str, Any]:
    """Return the comparison as JSON-able values; shares in [0, 1]."""
    tables = []
    for one in found:
        rows = [
            {"first": pair.first.label, "second": pair.second.label,
             "accuracies": list(pair.accuracies),
             **_turned(pair.pair)}
            for pair in pairs if pair.boards is one
        ]  # fmt: skip
        tables.append(
            {
                "tasks": [one.first.task.label, one.second.task.label],
                "split": one.first.split,
                "same_questions": len(one.ids),
                "other_gold": len(one.other_gold),
                "only_first": one.only_first,
                "only_second": one.only_second,
                "rows": rows,
            }
        )
    return {"runs": [str(first.folder), str(second.folder)], "tables": tables}


def _turned(pair: PairedRows) -> dict[str, Any]:
    """Return the figures with the shares under the runs' own names (the pair is second, first)."""
    turned = replace(pair, first_only=pair.second_only, second_only=pair.first_only).to_json()
    return {name: value for name, value in turned.items() if name not in ("first", "second")}

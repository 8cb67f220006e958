"""The fifth question, where does it fail: accuracy by groups, every question with its answers."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from cotdistill.evaluation.grid import Scored
from cotdistill.records import Answer, Question
from cotdistill.reporting.blocks import Browser, Chapter, Chart, Section, Transcription
from cotdistill.reporting.charts import Panel, Series, panels
from cotdistill.reporting.scoreboard import Board, BoardRow
from cotdistill.reporting.wording import percent
from cotdistill.runs.run import Run
from cotdistill.util.files import read_records

GROUPS = ("steps", "length", "operation", "option")
"""Groups of questions that `evaluation.grid.slices` makes."""
TRANSCRIPTIONS_PER_ROW = 3
_MOST_TICKS = 12


def chapter(run: Run, boards: Sequence[Board]) -> Chapter:
    """Return the chapter."""
    blocks: list[Section | Chart | Browser | Transcription] = []
    for board in boards:
        for name in GROUPS:
            blocks += _by_group(board, name)
    blocks += [Browser("answers"), *_transcriptions(run, boards[:1])]
    return Chapter("fails", "Where does it fail?", list(_sentences(boards)), blocks)


def _sentences(boards: Sequence[Board]) -> Iterator[str]:
    for board in boards:
        if board.students:
            best = board.students[0]
            pieces = []
            for name in GROUPS:
                found = [one for one in best.by_group[name] if one["n"] >= 10]
                if len(found) > 1:
                    worst = min(found, key=lambda one: one["accuracy"])
                    pieces.append(f"{name} {_shown(worst['group'])} ({_share(worst)})")
            if pieces:
                yield f"{board.name}: {best.label} is weakest at {'; '.join(pieces)}."


def _shown(group: Any) -> str:
    """Return a group as people read it: "000–019 words" is kept so in files that it sorts there."""
    return re.sub(r"\b0+(?=\d)", "", str(group))  # zeros before a number


def _share(figure: dict[str, Any]) -> str:
    return f"{percent(figure['accuracy'])} %, n={figure['n']}"


def _order(key: Any) -> tuple[bool, Any]:
    return isinstance(key, str), key


def _by_group(board: Board, name: str) -> Iterator[Section | Chart]:
    """Yield table and chart by group; nothing where all questions of a task are in one group."""
    rows = [one for one in board.rows if len(one.by_group[name]) > 1]
    keys = sorted({one["group"] for row in rows for one in row.by_group[name]}, key=_order)
    if len(keys) < 2:
        return
    title = f"{board.name}: accuracy in % by {name}"
    if len(keys) <= _MOST_TICKS:
        ticks = {float(place): _shown(key) for place, key in enumerate(keys)}
        series = [_line(one, name, keys) for one in rows if one.kind != "majority"]
        panel = Panel("", name, series, ticks=ticks)
        description = f"Accuracy of every row with 95 % intervals by {name} of the question."
        yield Chart(title, description, panels([panel]))
    lines = []
    for one in rows:
        found = {figure["group"]: figure for figure in one.by_group[name]}
        cells = (f"{percent(found[key]['accuracy'])} (n={found[key]['n']})" if key in found else ""
                 for key in keys)  # fmt: skip
        lines.append((one.label, *cells))
    yield Section(title, ("method", *map(_shown, keys)), tuple(lines), folded=True)


def _line(one: BoardRow, name: str, keys: Sequence[Any]) -> Series:
    points = [
        (float(keys.index(figure["group"])), figure["accuracy"], figure["low"], figure["high"])
        for figure in one.by_group[name]
    ]
    return Series(one.label, sorted(points))


def read_answers(
    run: Run, board: Board
) -> Iterator[tuple[Question, list[tuple[Answer, Scored, float]]]]:
    """Yield every question of a board with each row's answer of the first seed.

    The number beside an answer is the share of seeds in which the row is right. Rows without
    answers of their own (the majority) are left out: `answered_rows` names the rest in order.
    """
    rows = answered_rows(board)
    folders = [[one.folder for one in row.answered] for row in rows]
    answers = [read_records(seeds[0] / "answers.jsonl", Answer) for seeds in folders]
    verdicts = [
        [read_records(folder / "scored.jsonl", Scored) for folder in seeds] for seeds in folders
    ]
    for question in run.questions(board.task, board.split):
        cells = []
        for stream, seeds in zip(answers, verdicts, strict=True):
            scored = [next(one) for one in seeds]
            right = sum(one.verdict == "correct" for one in scored) / len(scored)
            cells.append((next(stream), scored[0], right))
        yield question, cells


def answered_rows(board: Board) -> list[BoardRow]:
    """Return the rows that a model answered."""
    return [row for row in board.rows if row.answered]


def _transcriptions(run: Run, boards: Sequence[Board]) -> Iterator[Transcription]:
    for board in boards:
        labels = [one.label for one in answered_rows(board)]
        for question, cells in itertools.islice(read_answers(run, board), TRANSCRIPTIONS_PER_ROW):
            for label, (answer, scored, _) in zip(labels, cells, strict=True):
                yield Transcription(
                    f"{board.name}, {label}", scored.verdict.value, question.block,
                    str(question.answer), answer.text,
                )  # fmt: skip

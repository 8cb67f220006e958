"""The third question, what did it cost: method by method, and accuracy against cost as a front."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.reporting.blocks import Chapter, Chart, Section
from cotdistill.reporting.charts import Panel, Series, panels
from cotdistill.reporting.scoreboard import Board, BoardRow
from cotdistill.reporting.sizes import row_parameters
from cotdistill.reporting.wording import count, percent, size
from cotdistill.reporting.worth import DataSet
from cotdistill.runs.run import Run


@dataclass(frozen=True)
class RowCost:
    """The costs of a row; None where a cost does not arise or is not known.

    Teacher tokens are those of its training data, replies from the log included; `share` is their
    part of all tokens of the run's methods. Times are those of the first time the work was done.
    """

    parameters: int | None
    teacher_tokens: int | None
    share: float | None
    training_minutes: float | None
    tokens: float
    milliseconds: float | None


def chapter(run: Run, boards: Sequence[Board], data: Sequence[DataSet]) -> Chapter:
    """Return the chapter."""
    blocks: list[Section | Chart] = []
    for board in boards:
        found = {one.place: row_cost(one, data) for one in board.rows if one.kind != "majority"}
        blocks += [*_front(board, found), _section(run, board, found)]
    total = _spent(run)
    return Chapter(
        "cost", "What did it cost?", list(_sentences(run, boards, data)), [*blocks, total]
    )


def row_cost(one: BoardRow, data: Sequence[DataSet]) -> RowCost:
    """Return what a row cost, from the metadata of the stages; seeds are averaged."""
    asked = sum(found.answering.get("questions", 0) for found in one.answered)
    spent = sum(found.answering.get("seconds", 0.0) for found in one.answered)
    milliseconds = 1000 * spent / asked if asked and spent else None
    if one.kind != "student":
        return RowCost(None, None, None, None, one.row.tokens, milliseconds)
    made = (one.row.task, one.row.method)
    tokens = next((found.generated.get("teacher_tokens") for found in data
                   if (found.task.label, found.method.label) == made), None)  # fmt: skip
    whole = sum(found.generated.get("teacher_tokens") or 0 for found in data)
    known = [found.training["seconds"] for found in one.answered if "seconds" in found.training]
    return RowCost(
        row_parameters(one),
        tokens,
        tokens / whole if tokens is not None and whole else None,
        sum(known) / len(known) / 60 if known else None,
        one.row.tokens,
        milliseconds,
    )


_COSTS: tuple[tuple[str, str, Callable[[RowCost], float | None]], ...] = (
    ("Teacher tokens, once", "tokens", lambda cost: cost.teacher_tokens),
    ("Training, once", "minutes", lambda cost: cost.training_minutes),
    ("Tokens an answer", "tokens", lambda cost: cost.tokens),
    ("Time an answer", "milliseconds", lambda cost: cost.milliseconds),
)


def _front(board: Board, found: dict[int, RowCost]) -> Iterator[Chart]:
    """Yield the chart of accuracy against cost, where two rows have a cost to compare."""
    parts = []
    for title, unit, cost in _COSTS:
        series = [
            Series(one.label, [(value, one.row.accuracy, None, None)])
            for one in board.rows
            if one.place in found and (value := cost(found[one.place]))
        ]
        if len(series) > 1:
            parts.append(Panel(title, unit, series, logarithmic=True, front=True))
    note = (
        "The dotted line joins the rows that no other row beats at the same or a lower cost; costs "
        "on a logarithmic scale."
    )
    title = f"{board.name}: accuracy against cost"
    if parts:
        yield Chart(title, "The table below has the figures.", panels(parts), note)


def _section(run: Run, board: Board, found: dict[int, RowCost]) -> Section:
    money = run.spent().get("teacher", {}).get("money")
    lines = (
        (one.label, percent(one.row.accuracy), *_cells(found[one.place], money))
        for one in board.rows
        if one.place in found
    )
    header = ("method", "accuracy %", "parameters", "teacher tokens", "share of the bill",
              "training, minutes", "tokens an answer", "ms an answer")  # fmt: skip
    note = (
        "Teacher tokens: prompts and replies behind the training data, those that another method "
        "had asked for already included; a rationale shared by two methods counts in both. Share "
        "of the bill: by these tokens. Training: a seed's mean. Time an answer: all questions "
        "answered beside each other, loading the model included; answers from the log take none."
    )
    return Section(f"{board.name}: cost by method", header, tuple(lines), note)


def _cells(cost: RowCost, money: float | None) -> Iterator[str]:
    yield size(cost.parameters)
    yield count(cost.teacher_tokens)
    share = cost.share
    dollars = f" (${share * money:.4f})" if share is not None and money else ""
    yield "–" if share is None else f"{100 * share:.0f} %{dollars}"
    yield "–" if cost.training_minutes is None else f"{cost.training_minutes:.1f}"
    yield f"{cost.tokens:.0f}"
    yield "–" if cost.milliseconds is None else f"{cost.milliseconds:,.0f}"


def _sentences(run: Run, boards: Sequence[Board], data: Sequence[DataSet]) -> Iterator[str]:
    total = run.spent().get("teacher")
    if total is not None:
        paid = "at no known price" if total["money"] is None else f"for ${total['money']:.4f}"
        tokens = total["prompt_tokens"] + total["completion_tokens"]
        yield (
            f"The teacher wrote and read {tokens:,} tokens in this run, {paid}."
            if tokens
            else "The teacher's tokens were not counted: its replies come from recordings."
        )
    answered = [one for board in boards for one in board.answered]
    # A model that answers several splits or strategies was trained once.
    trained = {id(one.cell): one.training for one in answered}
    noted: dict[str, list[Mapping[str, Any]]] = {
        "generate": [one.generated for one in data],
        "train": list(trained.values()),
        "infer": [one.answering for one in answered],
    }
    seconds = {stage: sum(one.get("seconds", 0.0) for one in notes)
               for stage, notes in noted.items()}  # fmt: skip
    times = ", ".join(f"{stage} {spent / 60:.1f}" for stage, spent in seconds.items())
    yield f"Minutes by stage: {times}."


def _spent(run: Run) -> Section:
    lines = []
    for role in ("teacher", "guide"):
        total = run.spent().get(role)
        if total is not None:
            kinds = ("completions", "from_log", "prompt_tokens", "completion_tokens")
            money = f"${total['money']:.4f}" if total["money"] is not None else "–"
            lines.append((role, *(f"{total[kind]:,}" for kind in kinds), money))
    header = ("model", "completions", "more from the log", "prompt tokens", "completion tokens")
    return Section("Paid for in all", (*header, "money"), tuple(lines))

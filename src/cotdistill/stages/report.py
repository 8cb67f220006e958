"""Report: the scores as one self-contained page, as Markdown, and as a table in the terminal.

Every output is a pure function of `ReportData`, which `report.json` keeps; the run's own text (questions, model output) is
escaped in the page and fenced in Markdown. Left out: figures of the training runs; the training log has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cotdistill.records import Record
from cotdistill.util.files import write_json, write_text

__all__ = [
    "Block",
    "Figure",
    "ReportData",
    "Row",
    "Trace",
    "markdown",
    "page",
    "terminal_tables",
    "write_report",
]


@dataclass(frozen=True)
class Figure(Record):
    """One accuracy: a share over `n` questions and `seeds` seeds, its 95 % interval, and the paired comparison with the baseline.

    `difference` (in shares) and `p` (corrected for the whole grid) are None where there is no baseline to compare with.
    """

    accuracy: float
    low: float
    high: float
    n: int
    seeds: int
    no_answer: float
    tokens: float
    difference: float | None = None
    p: float | None = None
    guide_tokens: float = 0.0
    leaks: float = 0.0

    @property
    def text(self) -> str:
        return f"{100 * self.accuracy:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Row(Record):
    """One method (with its student and strategy) and its figure by task."""

    label: str
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Block(Record):
    """One table: a split, its tasks as columns, the methods as rows."""

    split: str
    tasks: tuple[str, ...]
    rows: tuple[Row, ...]
    baseline: str


@dataclass(frozen=True)
class Trace(Record):
    """One answered question, whole."""

    task: str
    label: str
    question: str
    gold: str
    verdict: str
    answer: str
    text: str


@dataclass(frozen=True)
class ReportData(Record):
    """Everything the report says."""

    name: str
    blocks: tuple[Block, ...]
    curation: tuple[dict[str, Any], ...] = ()
    spent: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    by_steps: tuple[tuple[str, ...], ...] = ()
    """A table, its header first: accuracy by number of gold steps."""
    published: tuple[tuple[str, ...], ...] = ()
    """A table, its header first: published figures and ours for the same task, split and student."""
    traces: tuple[Trace, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)


def write_report(data: ReportData, folder: Path) -> None:
    """Write `report.json`, `report.md` and `report.html` into a run folder."""
    write_json(folder / "report.json", data.to_json())
    write_text(folder / "report.md", markdown(data))
    write_text(folder / "report.html", page(data))


def terminal_tables(data: ReportData) -> list[Table]:
    """The tables of accuracies and of curation for a terminal. Labels are shown as they are: brackets are no markup."""
    tables = []
    for block in data.blocks:
        table = _terminal_table(f"{data.name}: accuracy in %, {block.split} split, 95 % intervals")
        for index, column in enumerate(_header(block)):
            table.add_column(Text(column), justify="right" if index else "left", no_wrap=True)
        for cells in _cells(block):
            table.add_row(*map(Text, cells))
        tables.append(table)
    if data.curation:
        table = _terminal_table("rationales")
        for column in _CURATION:
            table.add_column(column, overflow="fold")
        for one in data.curation:
            table.add_row(*map(Text, _curation_cells(one)))
        tables.append(table)
    return tables


def _terminal_table(title: str) -> Table:
    return Table(title=Text(title, style="table.title"), title_justify="left")


def markdown(data: ReportData) -> str:
    """The report in Markdown."""
    parts = [f"# {_md(data.name)}", ""]
    for block in data.blocks:
        parts += [f"## Accuracy in %, {block.split} split, 95 % intervals", ""]
        parts += [*_md_table(_header(block), _cells(block)), "", _md(_baseline_note(block)), ""]
    if data.curation:
        parts += [
            "## Rationales kept and dropped",
            "",
            *_md_table(_CURATION, map(_curation_cells, data.curation)),
            "",
        ]
    if data.spent:
        parts += ["## What it cost", "", *_md_table(("what", "how much"), data.spent), ""]
    for title, table in _further(data):
        parts += [f"## {title}", "", *_md_table(table[0], table[1:]), ""]
    if data.notes:
        parts += ["## Notes", "", *(f"- {_md(note)}" for note in data.notes), ""]
    if data.traces:
        parts += ["## Some answers", ""]
        for trace in data.traces:
            parts += [
                f"**{_md(trace.task)}, {_md(trace.label)}: {trace.verdict}** (gold {_md(trace.gold)})",
                "",
            ]
            parts += [_fenced(trace.question), "", _fenced(trace.text), ""]
    return "\n".join(parts)


def page(data: ReportData) -> str:
    """The report as one HTML page without any outside reference; all text is escaped."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return template.get_template("report.html.jinja").render(
        data=data,
        tables=[
            (block, _header(block), list(_cells(block)), _baseline_note(block))
            for block in data.blocks
        ],
        further=_further(data),
        curation_header=_CURATION,
        curation=[_curation_cells(one) for one in data.curation],
    )


def _further(data: ReportData) -> list[tuple[str, tuple[tuple[str, ...], ...]]]:
    tables = [
        ("Accuracy in % by number of steps", data.by_steps),
        ("Published and ours", data.published),
    ]
    return [(title, table) for title, table in tables if table]


_CURATION = (
    "task",
    "method",
    "questions",
    "candidates",
    "kept",
    "questions kept",
    "dropped because",
    "failed because",
)


def _curation_cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    def reasons(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{reason} {count}" for reason, count in counts.items()) or "–"

    numbers = (str(one[key]) for key in ("questions", "candidates", "kept", "questions_kept"))
    return (one["task"], one["method"], *numbers, reasons(one["dropped"]), reasons(one["failed"]))


def _header(block: Block) -> tuple[str, ...]:
    columns = ["method"]
    for task in block.tasks:
        columns += [task, "n", "vs. baseline", "tokens"]
    return tuple(columns)


def _cells(block: Block) -> Iterable[tuple[str, ...]]:
    for row in block.rows:
        cells = [row.label]
        for task in block.tasks:
            figure = row.figures.get(task)
            cells += _figure_cells(figure) if figure else ["not run", "", "", ""]
        yield tuple(cells)


def _figure_cells(figure: Figure) -> list[str]:
    seeds = f"{figure.n}×{figure.seeds}" if figure.seeds > 1 else str(figure.n)
    compared = "–"
    if figure.difference is not None and figure.p is not None:
        p = "p<0.001" if figure.p < 0.001 else f"p={figure.p:.3f}"
        compared = f"{100 * figure.difference:+.1f} ({p})"
    guide = f" + {figure.guide_tokens:.0f}" if figure.guide_tokens else ""
    leaks = f" ({100 * figure.leaks:.0f} % leak)" if figure.leaks else ""
    return [figure.text, seeds, compared, f"{figure.tokens:.0f}{guide}{leaks}"]


def _baseline_note(block: Block) -> str:
    guided = any(figure.guide_tokens for row in block.rows for figure in row.figures.values())
    guide = (
        "; behind the plus a guide's, and for how many questions its step holds the gold answer"
        if guided
        else ""
    )
    return (
        f"n: questions × seeds. vs. baseline: difference in points from {block.baseline} on the same questions, paired test, "
        f"p corrected for all comparisons of the table (Holm). tokens: written per question{guide}."
    )


def _md(text: str) -> str:
    escaped = "".join(
        "\\" + sign if sign in "\\`*_{}<>#|" else sign for sign in text.replace("\n", " ")
    )
    return escaped.replace("](", "]\\(")


def _md_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [map(_md, header), ["---"] * len(header), *(map(_md, row) for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _fenced(text: str) -> str:
    """A fence longer than any run of backticks in the text, so that the text cannot end it."""
    longest = max(
        (len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0
    )
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"

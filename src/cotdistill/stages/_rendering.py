"""The report's sections as a terminal table, as Markdown and as one page of HTML.

The run's own text (labels, questions, model output) is hostile: it is escaped in the page, escaped
or fenced in Markdown, and no markup in the terminal; control characters are written as escapes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table as TerminalTable
from rich.text import Text

from cotdistill.util.terminal import printable


@dataclass(frozen=True)
class Section:
    """One table of the report.

    `bars` holds (value, low, high) in shares for each row, drawn beside it in the page; `note` is
    the line below the table; `prominent` tables are printed in the terminal too.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    bars: tuple[tuple[float, float, float], ...] = ()
    prominent: bool = False


@dataclass(frozen=True)
class Transcription:
    """One answered question, whole."""

    label: str
    verdict: str
    question: str
    gold: str
    answer: str
    text: str


def terminal_table(section: Section) -> TerminalTable:
    """Return the section for a terminal; cells wrap where the line is too short."""
    title = Text(printable(section.title), style="table.title")
    table = TerminalTable(title=title, title_justify="left", caption_justify="left")
    for index, column in enumerate(section.header):
        numeric = all(row[index][:1] in "0123456789+-–" for row in section.rows)
        table.add_column(
            Text(printable(column)), overflow="fold", justify="right" if numeric else "left"
        )
    for row in section.rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def markdown(
    name: str,
    summary: Sequence[str],
    sections: Iterable[Section],
    notes: Sequence[str],
    transcriptions: Sequence[Transcription],
) -> str:
    """Return the report in Markdown."""
    parts = [f"# {_md(name)}", "", *(f"- {_md(sentence)}" for sentence in summary), ""]
    for section in sections:
        lines = [section.header, ("---",) * len(section.header), *section.rows]
        cells = (map(_md, line) if index != 1 else line for index, line in enumerate(lines))
        parts += [f"## {_md(section.title)}", ""]
        parts += ["| " + " | ".join(line) + " |" for line in cells]
        parts += ["", *([_md(section.note), ""] if section.note else [])]
    parts += ["## Notes", "", *(f"- {_md(note)}" for note in notes), "", "## Some answers", ""]
    for one in transcriptions:
        parts += [f"**{_md(one.label)}: {one.verdict}** (gold {_md(one.gold)})", ""]
        parts += [_fenced(one.question), "", _fenced(one.text), ""]
    return printable("\n".join(parts))


def page(
    name: str,
    summary: Sequence[str],
    sections: Iterable[Section],
    notes: Sequence[str],
    transcriptions: Sequence[Transcription],
) -> str:
    """Return the report as one HTML page without any outside reference; all text is escaped."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    rendered = environment.get_template("report.html.jinja").render(
        name=name,
        summary=summary,
        sections=list(sections),
        notes=notes,
        transcriptions=transcriptions,
    )
    return printable(rendered)


# Every sign that Markdown or HTML inside it gives a meaning to.
_MARKUP = re.compile(r"[\\`*_{}<>#|\[\]]")


def _md(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.splitlines()))


def _fenced(text: str) -> str:
    """Fence text with more backticks than any run inside, so that it cannot end the fence."""
    # A fence must be longer than any run of backticks in the text, or the text could end it.
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"

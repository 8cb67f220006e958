"""The chapters of a report as tables of the terminal, as Markdown, and as one page of HTML.

The run's own text (labels, questions, model output) is hostile: it is escaped in the page, escaped
or fenced in Markdown, and no markup in the terminal; control characters are written as escapes.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table as TerminalTable
from rich.text import Text

from cotdistill.reporting.blocks import Browser, Chapter, Chart, Section, Transcription
from cotdistill.util.markdown import escaped, fenced
from cotdistill.util.terminal import printable

_WIDE, _NARROW = 740, 350
"""Widths of a chart in pixels; the style sheet shows the one that fits the window."""


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


def markdown(name: str, chapters: Sequence[Chapter]) -> str:
    """Return the report in Markdown: all of it but charts and browsers."""
    parts = [f"# {escaped(name)}", ""]
    for number, chapter in enumerate(chapters, 1):
        parts += [f"## {number}. {escaped(chapter.title)}", ""]
        parts += [*(f"- {escaped(sentence)}" for sentence in chapter.sentences), ""]
        for block in chapter.blocks:
            if isinstance(block, Section) and block.rows:
                parts += _markdown_table(block)
            elif isinstance(block, Transcription):
                parts += [
                    f"**{escaped(block.label)}: {block.verdict}** (gold {escaped(block.gold)})",
                    "",
                ]
                parts += [fenced(block.question), "", fenced(block.text), ""]
    return printable("\n".join(parts))


def _markdown_table(section: Section) -> Iterator[str]:
    lines = [section.header, ("---",) * len(section.header), *section.rows]
    yield from (f"### {escaped(section.title)}", "")
    for index, line in enumerate(lines):
        yield "| " + " | ".join(line if index == 1 else map(escaped, line)) + " |"
    yield from ("", *((escaped(section.note), "") if section.note else ()))


def page(
    name: str,
    chapters: Sequence[Chapter],
    data: str = "",
    *,
    live: bool = False,
    links: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the report as one HTML page without any outside reference; all text is escaped.

    Args:
        data: what its browsers show, as `browsing.packed` returns it.
        live: the page is served by `cotdistill view`, and its browsers ask the server for more.
        links: addresses on the same server, each with its text.
    """
    import jinja2
    import markupsafe

    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (folder / "page.js").read_text("utf-8")
    # The one script that the page's policy lets run is the one with this hash.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    rendered = environment.get_template("page.html.jinja").render(
        name=name,
        chapters=[_drawn(chapter) for chapter in chapters],
        data=data,
        live=live,
        links=links,
        script=markupsafe.Markup(script),
        style=markupsafe.Markup((folder / "page.css").read_text("utf-8")),
        script_hash=f"sha256-{digest}",
    )
    return printable(rendered)


def _drawn(chapter: Chapter) -> dict[str, Any]:
    """Return a chapter with its charts drawn, as the template takes it."""
    blocks = []
    for number, block in enumerate(chapter.blocks):
        if isinstance(block, Section) and block.rows:
            blocks.append({"kind": "table", "of": block})
        elif isinstance(block, Chart):
            blocks.append({"kind": "chart", "of": block, **_svgs(block, f"{chapter.key}-{number}")})
        elif isinstance(block, Browser):
            blocks.append({"kind": "browser", "of": block})
    return {"of": chapter, "blocks": blocks}


def _svgs(chart: Chart, name: str) -> dict[str, Any]:
    import markupsafe

    from cotdistill.reporting.charts import svg

    # matplotlib escapes the texts of a drawing itself.
    return {
        size: markupsafe.Markup(svg(chart.draw, width, f"{name}-{size}"))
        for size, width in (("wide", _WIDE), ("narrow", _NARROW))
    }

"""The report is a pure function of its data, and hostile text stays text."""

from __future__ import annotations

import dataclasses
import io
from html.parser import HTMLParser
from pathlib import Path

from rich.console import Console

from cotdistill.stages.report import (
    Block,
    Figure,
    ReportData,
    Row,
    Trace,
    markdown,
    page,
    terminal_tables,
    write_report,
)
from cotdistill.util.files import read_json

HOSTILE = "<script>alert('x')</script> | `code` ``` [link](javascript:x) {{ 7 * 7 }} </pre>"


def data() -> ReportData:
    answer_only = Figure(0.09, 0.06, 0.13, 300, 1, 0.01, 3.0)
    cot = Figure(0.66, 0.60, 0.71, 300, 1, 0.0, 61.5, difference=0.57, p=0.0001)
    return ReportData(
        name="demo " + HOSTILE,
        blocks=(
            Block(
                "test",
                ("words",),
                (Row("answer-only", {"words": answer_only}), Row(HOSTILE, {"words": cot})),
                "answer-only",
            ),
        ),
        curation=(
            {
                "task": "words",
                "method": HOSTILE,
                "questions": 10,
                "candidates": 80,
                "kept": 50,
                "questions_kept": 9,
                "dropped": {"answer_match: wrong answer": 30},
                "failed": {},
            },
        ),
        spent=(("teacher tokens", "1,234"),),
        notes=("a note " + HOSTILE,),
        traces=(Trace("words", HOSTILE, HOSTILE, "3", "wrong", HOSTILE, HOSTILE),),
        environment={"python": "3.11"},
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not {name for name, _ in attrs} & {"onload", "onclick", "src", "href"}


def test_page_escapes_and_stands_alone() -> None:
    html = page(data())
    tags = Tags()
    tags.feed(html)
    assert "script" not in tags.seen
    assert "alert(&#39;x&#39;)" in html
    assert "49" not in html
    assert "http://" not in html
    assert "https://" not in html
    assert "66.0 [60.0, 71.0]" in html


def test_markdown_keeps_tables_and_fences_whole() -> None:
    text = markdown(data())
    row = next(line for line in text.splitlines() if "66.0" in line)
    assert row.replace("\\|", "").count("|") == 6
    assert r"+57.0 (p\<0.001)" in row
    assert "````text\n" in text


def test_terminal_table_names_what_was_not_run() -> None:
    one = data()
    block = Block("test", ("words", "coins"), one.blocks[0].rows, "answer-only")
    output = io.StringIO()
    for table in terminal_tables(ReportData("x", (block,))):
        Console(file=output, width=200).print(table)
    assert "not run" in output.getvalue()
    assert "9.0 [6.0, 13.0]" in output.getvalue()


def test_questions_and_seeds_are_told_apart() -> None:
    row = Row("cot", {"words": Figure(0.35, 0.27, 0.43, 300, 3, 0.0, 64.0)})
    assert "300×3" in markdown(ReportData("x", (Block("test", ("words",), (row,), "answer-only"),)))


def test_a_guide_has_its_tokens_and_leaks_shown() -> None:
    alone, guided = (
        Figure(0.3, 0.2, 0.4, 300, 1, 0.0, 64.0),
        Figure(0.4, 0.3, 0.5, 300, 1, 0.0, 64.0),
    )
    guided = dataclasses.replace(guided, guide_tokens=16.2, leaks=0.12)
    rows = (Row("greedy", {"words": alone}), Row("first step", {"words": guided}))
    text = markdown(ReportData("x", (Block("test", ("words",), rows, "greedy"),)))
    assert "| 64 |" in text and "| 64 + 16 (12 % leak) |" in text
    assert "behind the plus a guide's" in text and "behind the plus" not in markdown(data())


def test_files_of_the_report(tmp_path: Path) -> None:
    write_report(data(), tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(first) == ["report.html", "report.json", "report.md"]
    write_report(ReportData.from_json(read_json(tmp_path / "report.json")), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


BRACKETED = "a [/b] [d=8] :smile: c_d|e"


def bracketed() -> ReportData:
    figure = Figure(0.09, 0.06, 0.13, 300, 1, 0.01, 3.0)
    block = Block("test", (BRACKETED,), (Row(BRACKETED, {BRACKETED: figure}),), BRACKETED)
    curation = {**data().curation[0], "task": BRACKETED, "method": BRACKETED}
    return ReportData(name=BRACKETED, blocks=(block,), curation=(curation,))


def test_terminal_tables_show_labels_as_they_are() -> None:
    out = io.StringIO()
    console = Console(file=out, width=400)
    for table in terminal_tables(bracketed()):
        console.print(table)
    assert out.getvalue().count(BRACKETED) == 5


def test_markdown_escapes_headers_and_the_baseline() -> None:
    text = markdown(bracketed())
    assert BRACKETED not in text
    header = next(line for line in text.splitlines() if line.startswith("| method"))
    assert header.replace("\\|", "").count("|") == 6

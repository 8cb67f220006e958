"""Tables, charts and the page from chapters made by hand: hostile text, narrow widths."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re

import pytest
from rich.console import Console

from cotdistill.reporting.blocks import Chapter, Chart, Section, Transcription
from cotdistill.reporting.browsing import packed
from cotdistill.reporting.charts import (
    Draw,
    Interval,
    Panel,
    Series,
    histograms,
    intervals,
    panels,
    svg,
)
from cotdistill.reporting.rendering import markdown, page, terminal_table

HOSTILE = (
    "<script>alert('x')</script> | `code` ``` [link](javascript:x) $5 and $6 ~~x~~ &lt; "
    "{{ 7 * 7 }} </pre>"
)
BRACKETED = "a [/b] [d=8] :smile: c_d|e"


def shown(section: Section, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(terminal_table(section))
    return out.getvalue()


def test_a_table_keeps_its_columns_whatever_the_cells_hold() -> None:
    section = Section(HOSTILE, ("a", HOSTILE), ((HOSTILE, BRACKETED),), HOSTILE)
    text = markdown(HOSTILE, [Chapter("k", HOSTILE, [HOSTILE], [section])])
    rows = [one for one in text.splitlines() if one.startswith("| ")]
    assert {one.replace("\\|", "").count("|") for one in rows} == {3}
    assert "$" not in text.replace("\\$", "") and "~" not in text.replace("\\~", "")
    assert "&" not in text.replace("\\&", "")
    assert "[link]" not in text and "<script" not in text.replace("\\<", "")


def test_control_characters_and_halves_of_pairs_reach_no_terminal_and_no_file() -> None:
    evil = "\x1b[31m\x9b2J \ud800 \u202e \u061c"
    section = Section(evil, (evil,), ((evil,),), evil)
    chapter = Chapter("k", evil, [evil], [section, Transcription(evil, "wrong", evil, evil, evil)])
    data = packed({"evil": [evil]})
    unpacked = gzip.decompress(base64.b64decode(data)).decode("utf-8")
    for text in (shown(section, 200), markdown(evil, [chapter]), page(evil, [chapter]), unpacked):
        text.encode("utf-8")
        assert not {"\x1b", "\x9b", "\u202e", "\u061c"} & set(text) and "x1b" in text
    assert "\\u001b" not in unpacked and json.loads(unpacked)


def test_a_narrow_terminal_loses_no_word() -> None:
    words = ["Fine-tune-CoT", "D=8", "66.0", "71.0", "answer"]
    section = Section("t", ("method", "accuracy"), (("Fine-tune-CoT D=8 answer", "66.0 71.0"),))
    assert all(word in shown(section, 30) for word in words)


def test_an_empty_table_is_left_out() -> None:
    chapter = Chapter("k", "t", [], [Section("nothing here", ("a",), ())])
    assert "nothing here" not in markdown("r", [chapter]) + page("r", [chapter])


ROWS = [
    Interval(HOSTILE, 0.66, 0.6, 0.71, "student"),
    Interval("ein Übergrößen-標籤 $x_1$", 0, 0, 1, "majority"),
]
LINES = [
    Series(HOSTILE, [(1, 0.2, 0.1, 0.3), (8, 0.5, 0.4, 0.6)]),
    Series("b", [(2, 0.3, None, None)]),
]
CURVES = [Panel("t", "x", LINES, logarithmic=True, front=True)]


@pytest.mark.parametrize("width", [350, 740])
@pytest.mark.parametrize(
    "draw",
    [intervals(ROWS), panels(CURVES), panels(CURVES * 3),
     histograms({HOSTILE: {"kept": {3: 5, 9: 1}, "dropped": {}}}, "words")],
)  # fmt: skip
def test_a_chart_is_inert_and_takes_its_colours_from_the_page(draw: Draw, width: float) -> None:
    text = svg(draw, width, "a")
    assert text.startswith(f'<svg width="{width}"') and text.rstrip().endswith("</svg>")
    assert "<script" not in text and "http" not in text and "<style" not in text
    assert "#01" not in text and "var(--muted)" in text and "currentColor" in text
    assert "mathdefault" not in text
    assert text == svg(draw, width, "a")


def test_labels_of_an_interval_plot_stay_whole() -> None:
    for width in (350, 740):
        text = re.sub(r"<[^>]*>|\s+", " ", svg(intervals(ROWS), width, "a"))
        assert "66.0 [60.0, 71.0]" in text and "Übergrößen-標籤 $x_1$" in text


def test_drawings_of_a_page_share_no_identifier() -> None:
    charts = [Chart(name, "d", intervals(ROWS)) for name in "ab"]
    found = re.findall(r' id="([^"]*)"', page("r", [Chapter("k", "t", [], charts)]))
    assert len(found) == len(set(found)) > 4

"""The report of a small real run in its three forms: what it says, and that hostile text stays
text."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from cotdistill.errors import UserError
from cotdistill.evaluation.grid import ScoreRow
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.stages._rendering import Section, Transcription, markdown, page, terminal_table
from cotdistill.stages.report import score_section
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.progress import SilentProgress

HOSTILE = "<script>alert('x')</script> | `code` ``` [link](javascript:x) {{ 7 * 7 }} </pre>"
BRACKETED = "a [/b] [d=8] :smile: c_d|e"


class Shown(SilentProgress):
    def __init__(self) -> None:
        self.text = ""

    def log(self, line: str) -> None:
        self.text += line + "\n"

    def show(self, table: RenderableType) -> None:
        out = io.StringIO()
        Console(file=out, width=400).print(table)
        self.text += out.getvalue()


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not {name for name, _ in attrs} & {"onload", "onclick", "src", "href"}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """The page, the Markdown and the terminal's text of one run."""
    folder = tmp_path_factory.mktemp("report")
    rows = [{"question": f"{n} + 1? {HOSTILE}", "answer": str(7 + n % 2)} for n in range(60)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe: dict[str, Any] = {
        "name": "r",
        "output": str(folder),
        "task": {"name": "custom", "path": str(folder / "questions.jsonl"), "answer": "number",
                 "label": "sums"},
        "teacher": {"name": "scripted", "replies": {"the answer is": " 7.", "": f" {HOSTILE}"},
                    "faults": dict.fromkeys(("2 + 1?", "3 + 1?", "6 + 1?"), "question failed")},
        "student": {"model": str(tiny_checkpoint(folder / "base", "gpt2")), "label": "tiny"},
        "methods": [
            {"name": "answer_only", "student_max_tokens": 4},
            {"name": "fine_tune_cot", "student_max_tokens": 8, "label": BRACKETED},
            {"name": "zero_shot_cot", "role": "teacher", "label": "teacher"},
        ],
        "limit": {"train": 12, "validation": 2, "test": 9},
        "train": {"epochs": 1, "batch_size": 4},
    }  # fmt: skip
    progress = Shown()
    run_recipe(parse_recipe(recipe), progress)
    page_text, markdown_text = (
        (folder / "r" / f"report.{end}").read_text("utf-8") for end in ("html", "md")
    )
    return page_text, markdown_text, progress.text


def line(text: str, *parts: str) -> str:
    """The first line that holds all parts."""
    return next(one for one in text.splitlines() if all(part in one for part in parts))


def test_the_page_escapes_and_stands_alone(reported: tuple[str, str, str]) -> None:
    html, _, _ = reported
    tags = Tags()
    tags.feed(html)
    assert "script" not in tags.seen and {"table", "details"} <= tags.seen
    assert "alert(&#39;x&#39;)" in html and "{{ 7 * 7 }}" in html
    assert "http://" not in html and "https://" not in html


def test_every_table_compares_with_answer_only_and_with_the_majority(
    reported: tuple[str, str, str],
) -> None:
    _, text, terminal = reported
    header = line(text, "| method | accuracy")
    assert "vs. answer" in header and "vs. majority answer" in header
    assert line(text, "| majority answer |").count("|") == 8
    assert "majority answer" in terminal and "answer_only" in terminal


def test_the_first_sentence_names_the_best_student_and_the_teacher(
    reported: tuple[str, str, str],
) -> None:
    for text in reported:
        sentence = line(text, "is the best student with")
        assert "the teacher reaches" in sentence and "sums, test split" in sentence


def test_failed_questions_are_counted_beside_the_accuracy_and_by_reason(
    reported: tuple[str, str, str],
) -> None:
    for text in reported:
        assert "teacher" in line(text, "of 9 questions failed")
        assert "scripted fault: scripted teacher: told to fail at" in text
    failed = line(reported[1], "| sums | test | teacher | scripted fault")
    count = int(failed.split("|")[-2])
    assert 1 <= count < 9 and f"{count} of 9 questions failed" in reported[1]


def test_rationales_dropped_are_counted_by_reason(reported: tuple[str, str, str]) -> None:
    row = line(reported[1], "answer\\_match: wrong answer")
    assert "d=8" in row and "scripted fault" in row
    assert line(reported[2], "answer_match: wrong answer")


def test_labels_are_shown_as_they_are(reported: tuple[str, str, str]) -> None:
    html, text, terminal = reported
    assert BRACKETED in terminal and BRACKETED in html and BRACKETED not in text


def test_the_set_up_names_teacher_student_splits_and_versions(
    reported: tuple[str, str, str],
) -> None:
    _, text, _ = reported
    assert "train 12, validation 2, test 9" in line(text, "| task sums |")
    assert "scripted" in line(text, "| teacher | scripted")
    assert "cotdistill" in line(text, "| versions |") and "seeds" in text


def test_an_answer_is_fenced_whole(reported: tuple[str, str, str]) -> None:
    assert "````text\n" in reported[1] and HOSTILE in reported[1]


def test_a_run_without_scores_is_refused(tmp_path: Path) -> None:
    recipe = {"name": "r", "output": str(tmp_path), "task": "coin_flip", "teacher": "lab",
              "student": "lab", "methods": ["answer_only"]}  # fmt: skip
    with pytest.raises(UserError, match="run the stage evaluate first"):
        run_recipe(parse_recipe(recipe), stages=["report"])


def row(**changes: Any) -> ScoreRow:
    plain: dict[str, Any] = {
        "task": "words", "split": "test", "student": "s", "method": "cot", "strategy": "greedy",
        "seeds": (0,), "n": 300, "accuracy": 0.66, "low": 0.6, "high": 0.71, "by_seed": (0.66,),
        "no_answer": 0.0, "errors": 0.0, "tokens": 64.4,
    }  # fmt: skip
    return ScoreRow(**{**plain, **changes})


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ("66.0 [60.0, 71.0]", "300", "–", "–", "–", "64")),
        ({"seeds": (0, 1, 2)}, ("66.0 [60.0, 71.0]", "300×3", "–", "–", "–", "64")),
        (
            {"difference": 0.57, "p_corrected": 0.0001, "over_majority": -0.1,
             "p_over_majority": 0.25},
            ("66.0 [60.0, 71.0]", "300", "+57.0 (p<0.001)", "-10.0 (p=0.250)", "–", "64"),
        ),
        (
            {"failed": 30, "no_answer": 0.12, "truncated": 6},
            ("66.0 [60.0, 71.0]; 30 of 300 questions failed", "300", "–", "–",
             "12.0 (6 truncated)", "64"),
        ),
        (
            {"guide_tokens": 16.2, "leaks": 0.12},
            ("66.0 [60.0, 71.0]", "300", "–", "–", "–", "64 + 16 (12 % leak)"),
        ),
    ],
)  # fmt: skip
def test_cells_of_a_row(changes: dict[str, Any], cells: tuple[str, ...]) -> None:
    section = score_section("t", [(row(**changes), "cot")], "answer-only")
    assert section.rows == (("cot", *cells),)
    assert ("those of a guide" in section.note) == ("guide_tokens" in changes)


def test_a_table_keeps_its_columns_whatever_the_cells_hold() -> None:
    section = Section(HOSTILE, ("a", HOSTILE), ((HOSTILE, BRACKETED),), HOSTILE)
    text = markdown(HOSTILE, [HOSTILE], [section], [HOSTILE], [])
    rows = [one for one in text.splitlines() if one.startswith("| ")]
    assert {one.replace("\\|", "").count("|") for one in rows} == {3}
    assert "[link]" not in text and "<script" not in text.replace("\\<", "")


def test_control_characters_and_halves_of_pairs_reach_no_terminal_and_no_file() -> None:
    evil = "\x1b[31m\x9b2J \ud800 \u202e"
    section = Section(evil, (evil,), ((evil,),), evil)
    answer = Transcription(evil, "wrong", evil, evil, evil, evil)
    out = io.StringIO()
    Console(file=out, width=200).print(terminal_table(section))
    content = (evil, [evil], [section], [evil], [answer])
    for text in (out.getvalue(), markdown(*content), page(*content)):
        text.encode("utf-8")
        assert not {"\x1b", "\x9b", "\u202e"} & set(text) and "x1b" in text


def test_a_narrow_terminal_loses_no_word() -> None:
    words = ["Fine-tune-CoT", "D=8", "66.0", "71.0", "answer"]
    section = Section("t", ("method", "accuracy"), (("Fine-tune-CoT D=8 answer", "66.0 71.0"),))
    out = io.StringIO()
    Console(file=out, width=30).print(terminal_table(section))
    assert all(word in out.getvalue() for word in words)


def test_a_bar_stands_at_its_interval() -> None:
    section = Section("t", ("m",), (("cot",),), bars=((0.66, 0.6, 0.71),))
    answer = Transcription("l", "wrong", "q", "3", "4", "t")
    html = page("r", [], [section], [], [answer])
    assert "width:66.0%" in html and "left:60.0%;width:11.0%" in html

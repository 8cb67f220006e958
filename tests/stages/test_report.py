"""The report of a small real run in its three forms: what it says, and that hostile text stays
text."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console, RenderableType

from cotdistill.errors import UserError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.progress import SilentProgress

HOSTILE = "<script>alert('x')</script> | `code` ``` [link](javascript:x) {{ 7 * 7 }} </pre> \u202e"
BRACKETED = "a [/b] [d=8] :smile: c_d|e $x$"


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
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        names = {name for name, _ in attrs}
        assert not {name for name in names if name.startswith("on") or name == "src"}
        assert all((value or "").startswith("#") for name, value in attrs if name == "href")


class Forms(NamedTuple):
    html: str
    markdown: str
    terminal: str
    data: dict[str, Any]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Forms:
    """The page, the Markdown, the terminal's text and the page's data of one run."""
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
            {"name": "fine_tune_cot", "student_max_tokens": 8, "samples": 2},
            {"name": "zero_shot_cot", "role": "teacher", "label": "teacher"},
        ],
        "limit": {"train": 12, "validation": 2, "test": 9},
        "train": {"epochs": 1, "batch_size": 4},
    }  # fmt: skip
    progress = Shown()
    run_recipe(parse_recipe(recipe), progress)
    html, text = ((folder / "r" / f"report.{end}").read_text("utf-8") for end in ("html", "md"))
    (packed,) = re.findall(r'id="page-data">([^<]*)<', html)
    return Forms(html, text, progress.text, json.loads(gzip.decompress(base64.b64decode(packed))))


def line(text: str, *parts: str) -> str:
    """The first line that holds all parts."""
    return next(one for one in text.splitlines() if all(part in one for part in parts))


def test_the_page_answers_five_questions_in_order(reported: Forms) -> None:
    titles = ["What won?", "What is this?", "What did it cost?", "What is the data worth?",
              "Where does it fail?"]  # fmt: skip
    for text in (reported.html, reported.markdown):
        found = re.findall(r"(?:<h2 id.*?>|^## )\d\. (.*?)(?:</h2>|$)", text, re.MULTILINE)
        assert found == titles


def test_the_page_escapes_and_stands_alone(reported: Forms) -> None:
    tags = Tags()
    tags.feed(reported.html)
    assert tags.seen.count("script") == 2 and {"table", "details", "svg"} <= set(tags.seen)
    assert "http://" not in reported.html and "https://" not in reported.html
    assert "default-src 'none'" in reported.html and "unsafe-eval" not in reported.html
    assert "alert('x')" not in reported.html and "\u202e" not in reported.html
    assert len(reported.html) < 1_000_000


def test_every_table_compares_with_answer_only_and_with_the_majority(reported: Forms) -> None:
    header = line(reported.markdown, "| method | accuracy")
    assert "vs. answer" in header and "vs. majority answer" in header
    assert line(reported.markdown, "| majority answer |").count("|") == 8
    assert "majority answer" in reported.terminal and "answer_only" in reported.terminal


def test_the_first_sentence_names_the_best_student_and_the_teacher(reported: Forms) -> None:
    for text in reported[:3]:
        sentence = line(text, "is the best student with")
        assert "the teacher has" in sentence and "sums, test split" in sentence


def test_any_two_rows_are_compared(reported: Forms) -> None:
    (found,) = reported.data["pairs"]
    assert len(found["rows"]) == 5 and len(found["pairs"]) == 10
    for pair in found["pairs"]:
        shares = [pair[name] for name in ("both", "first_only", "second_only", "neither")]
        assert sum(shares) == pytest.approx(1)
        rows = {row["place"]: row["accuracy"] for row in found["rows"]}
        assert rows[pair["first"]] == pytest.approx(pair["both"] + pair["first_only"])
        assert rows[pair["first"]] - rows[pair["second"]] == pytest.approx(pair["difference"])
    assert reported.markdown.count("| majority answer |") >= 4 + 1


def test_every_question_is_there_with_all_answers_whole(reported: Forms) -> None:
    (found,) = reported.data["answers"]
    assert found["total"] == len(found["items"]) == 9 and len(found["rows"]) == 4
    item = found["items"][0]
    assert "\\u202e" in item["question"] and HOSTILE[:-1] in item["question"]
    assert [set(one) for one in item["answers"]] == [
        {"verdict", "answer", "text", "tokens", "right"}
    ] * 4
    right = sum(one["answers"][3]["verdict"] == "correct" for one in found["items"])
    teacher = line(reported.markdown, "| teacher | ")
    assert f"| {100 * right / 9:.1f} " in teacher


def test_rationales_are_shown_with_their_reasons(reported: Forms) -> None:
    sets = {one["name"]: one for one in reported.data["rationales"]}
    found = sets[f"sums · {BRACKETED}"]
    assert found["reasons"] == ["", "answer_match: wrong answer"]
    for item in found["items"]:
        assert (item["reason"] == "") == (item["answer"] == item["gold"]) and item["question"]
    row = line(reported.markdown, "answer\\_match: wrong answer")
    assert "d=8" in row and "scripted fault" in row
    assert line(reported.terminal, "answer_match: wrong answer")
    assert "kept (" in reported.markdown and "cut off at the length limit" in reported.markdown


def test_a_curve_is_drawn_over_the_setting_that_varies(reported: Forms) -> None:
    assert "accuracy by samples" in reported.html
    assert "accuracy by max_tokens" not in reported.html


def test_costs_stand_by_method(reported: Forms) -> None:
    rows = [one for one in reported.markdown.splitlines() if one.startswith("| ")]
    start = next(n for n, one in enumerate(rows) if one.startswith("| method | accuracy % |"))
    cells = {one.split(" | ")[0]: one.strip("| ").split(" | ") for one in rows[start + 2 :][:4]}
    one, two = (
        cells["| a \\[/b\\] \\[d=8\\] :smile: c\\_d\\|e \\$x\\$"],
        cells["| fine\\_tune\\_cot student\\_max\\_tokens=8 samples=2"],
    )
    tokens = [int(found[-5].replace(",", "")) for found in (one, two)]
    assert 0 < tokens[0] < tokens[1]
    assert one[2] == two[2] != "–" and cells["| teacher"][2] == "–"


def test_failed_questions_are_counted_beside_the_accuracy_and_by_reason(reported: Forms) -> None:
    for text in reported[:3]:
        assert "teacher" in line(text, "of 9 questions failed") or text is reported.html
        assert "scripted fault: scripted teacher: told to fail at" in text
    failed = line(reported.markdown, "| sums | test | teacher | scripted fault")
    count = int(failed.split("|")[-2])
    assert 1 <= count < 9 and f"{count} of 9 questions failed" in reported.markdown


def test_labels_are_shown_as_they_are(reported: Forms) -> None:
    assert BRACKETED in reported.terminal and BRACKETED in reported.html
    assert BRACKETED not in reported.markdown


def test_the_set_up_names_teacher_student_splits_and_versions(reported: Forms) -> None:
    text = reported.markdown
    assert "train 12, validation 2, test 9" in line(text, "| task sums |")
    assert "scripted" in line(text, "| teacher | scripted")
    assert "parameters; trained on cpu" in line(text, "| student tiny |")
    assert "cotdistill" in line(text, "| versions |") and "seeds" in text
    assert "UTC" in line(text, "| dates |") and "cotdistill run" in line(text, "| command |")


def test_an_answer_is_fenced_whole(reported: Forms) -> None:
    assert "````text\n" in reported.markdown and HOSTILE[:-1] in reported.markdown


def test_a_run_without_scores_is_refused(tmp_path: Path) -> None:
    recipe = {"name": "r", "output": str(tmp_path), "task": "coin_flip", "teacher": "lab",
              "student": "lab", "methods": ["answer_only"]}  # fmt: skip
    with pytest.raises(UserError, match="run the stage evaluate first"):
        run_recipe(parse_recipe(recipe), stages=["report"])

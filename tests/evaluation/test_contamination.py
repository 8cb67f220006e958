import importlib.util
import json
import tracemalloc
from pathlib import Path

import pytest

from cotdistill import plugins
from cotdistill.contracts import Task
from cotdistill.evaluation.contamination import contamination_report
from cotdistill.records import Question, Rationale
from cotdistill.text.templates import normalised, template

KNOWN = [
    ("multiarith", "default", "180/180", "5/180"),
    ("coin_flip_benchmark", "default", "141/150", "0/150"),
    ("last_letter_concatenation", "default", "146/150", "0/150"),
    ("tracking_shuffled_objects", "default", "210/225", "0/225"),
    ("multiarith", "template", "0/187", "0/187"),
]


@pytest.mark.parametrize(("name", "split", "templates", "exact"), KNOWN)
def test_known_overlaps_are_found(
    shared_data: Path, name: str, split: str, templates: str, exact: str
) -> None:
    task = plugins.build(
        "tasks", {"name": name, "data_dir": str(shared_data), "split": split, "validation": 0}, Task
    )
    report = contamination_report(task.questions("train"), task.questions("test"), near=False)
    assert (str(report.template), str(report.exact)) == (templates, exact)


def test_a_template_normalises_numbers_and_names() -> None:
    assert template("Ana has 1,234 pens.") == template("Bob  has 7 pens.") == "X has 0 pens."
    assert template("Ana has 3 pens.") != template("Ana has 3 cups.")
    assert normalised("Has  Ana 3 pens?") == "has ana 3 pens"


QUOTE = "a farmer who owns nine brown hens sells all their eggs at the market every single morning"
TRAIN = [
    Question("t0", "Ana has 3 pens."),
    Question("t1", "Why do cats purr so loudly at night when nobody listens?"),
]
TEST = [
    Question("e0", "Bob has 9 pens."),
    Question("e1", "Why do cats purr so loudly at night when no one listens?"),
    Question("e2", QUOTE),
    Question("e3", "Ana has 3 pens."),
    Question("e4", "Ana has 3 pens!"),
]


def test_every_look() -> None:
    pytest.importorskip("rapidfuzz", reason="near-duplicates need the extra contamination")
    rationales = [
        Rationale("t0", f"We know that {QUOTE}. So 3.", "3"),
        Rationale("t1", TRAIN[1].text, "1"),
    ]
    report = contamination_report(TRAIN, TEST, exemplars=[TEST[2]], rationales=rationales)
    assert report.exact.ids == ("e3", "e4")
    assert report.template.ids == ("e0", "e3")
    assert report.near is not None and report.near.ids == ("e1", "e3", "e4")
    assert report.exemplars_exact.ids == ("e2",)
    assert report.rationales.ids == ("e2",)
    assert report.within_test.ids == ("e4",)
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["template"]["total"] == 5 and plain["template"]["ids"] == ["e0", "e3"]
    assert plain["template"]["examples"][0] == ["e0", "t0"]


def test_without_rapidfuzz_the_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "rapidfuzz" else plain(name, *rest),
    )
    report = contamination_report(TRAIN, TEST)
    assert report.near is None
    assert report.notes == (
        "near-duplicates not looked for: pip install 'cotdistill[contamination]'",
    )


def test_options_are_part_of_a_question() -> None:
    train = [Question("t", "Which?", options=("x", "y"))]
    test = [
        Question("a", "Which?", options=("x", "y")),
        Question("b", "Which?", options=("x", "z")),
    ]
    assert contamination_report(train, test, near=False).exact.ids == ("a",)


def test_nothing_is_never_contaminated() -> None:
    report = contamination_report([], [])
    assert str(report.exact) == str(report.within_test) == "0/0"


def test_memory_does_not_grow_with_the_training_questions() -> None:
    peaks = []
    for count in (50, 500, 3000):
        train = (Question(f"t{n}", f"What is {n} + 1? {'Think well. ' * 20}") for n in range(count))
        rationales = (Rationale(f"t{n}", f"{QUOTE} {n}", "1") for n in range(0, count, 100))
        tracemalloc.start()
        report = contamination_report(train, TEST, rationales=rationales, near=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.rationales.examples == (("e2", "t0"),)
    assert peaks[2] - peaks[1] < 100_000  # the texts of the 2,500 more have 600,000 characters

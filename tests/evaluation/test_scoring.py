import json
from pathlib import Path

import pytest

from cotdistill.errors import DataError, PluginError
from cotdistill.evaluation.compat import PublishedEvaluator
from cotdistill.evaluation.scoring import score_rows, summary, type_of_task
from cotdistill.records import Verdict

PUBLISHED = {
    "multiarith": ("multiarith", 600, 78.7),
    "addsub": ("addsub", 395, 69.6),
    "aqua": ("aqua", 254, 33.5),
    "coin_flip": ("coin_flip", 500, 91.4),
    "last_letters": ("last_letters", 500, 57.6),
    "commonsense_qa": ("commonsense_qa", 1221, 64.6),
}


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_prediction_and_accuracy_comes_out(shared_data: Path, name: str) -> None:
    task, n, accuracy = PUBLISHED[name]
    path = shared_data / "teachers" / "text-davinci-002" / f"{name}.jsonl"
    items = list(score_rows(path, task, ("kojima2022",)))
    published = [
        json.loads(line)["published_prediction"] for line in path.read_text("utf-8").splitlines()
    ]
    assert [item.scores["kojima2022"].prediction for item in items] == published
    result = summary(items, "kojima2022")
    assert (result["n"], round(100 * result["accuracy"], 1)) == (n, accuracy)


def test_our_rules_read_what_the_first_candidate_misses(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.jsonl",
        {
            "question": "?",
            "completion": "The answer is 26 + 36 - 48 = 14.",
            "answer_completion": " 26 + 36 - 48 = 14.",
            "gold": "14",
        },
        {"question": "?", "completion": "x", "answer_completion": " eleven.", "gold": "11"},
        {"question": "?", "completion": "x", "answer_completion": " $1,200.00", "gold": "1200"},
        {"question": "?", "completion": "x", "answer_completion": " unclear", "gold": "3"},
    )
    items = list(score_rows(path, "number", ("ours", "kojima2022", "ho2023")))
    assert summary(items, "ours")["correct"] == 3 and summary(items, "ours")["no_answer"] == 1
    assert summary(items, "kojima2022")["correct"] == 0
    assert [item.differ("ours", "kojima2022") for item in items] == [True, True, True, False]


def test_columns_are_mapped_and_a_missing_one_is_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.jsonl",
        {"q": "Which? Answer choices: (A) x, (B) y.", "out": "The answer is y.", "label": "(B)"},
    )
    columns = {"question": "q", "completion": "out", "gold": "label"}
    assert summary(score_rows(path, "choice", columns=columns), "ours")["accuracy"] == 1.0
    with pytest.raises(
        DataError,
        match=r"c.jsonl:1: no field of question, .* for the question; it has q, out, label",
    ):
        list(score_rows(path, "choice"))
    with pytest.raises(DataError, match="'text' is no field of a completion"):
        list(score_rows(path, "choice", columns={"text": "out"}))


def test_task_names_need_no_data() -> None:
    assert type_of_task("last_letters")[0] == "text"
    assert type_of_task("coin_flip")[0] == "yes_no"
    assert type_of_task("date")[0] == "date"
    with pytest.raises(PluginError, match="no 'gsm9k'; did you mean 'gsm8k'"):
        type_of_task("gsm9k")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no completions"):
        summary(score_rows(write(tmp_path / "c.jsonl"), "number"), "ours")


def test_no_answer_is_counted_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"question": "?", "completion": "no idea", "gold": "2"})
    (item,) = score_rows(path, "number", ("ours", "kojima2022", "ho2023"))
    assert {score.verdict for score in item.scores.values()} == {Verdict.NO_ANSWER}


@pytest.mark.parametrize(
    ("name", "task", "kind", "completion", "second", "expected"),
    [
        ("kojima2022", "gsm8k", "number", "", " 1,234.50. Then 7", "1234.50"),
        ("kojima2022", "gsm8k", "number", "", " 12.", "12"),
        ("kojima2022", "gsm8k", "number", "3 The answer is 4 of 5. The answer is 6, 7.", None, "6"),
        ("kojima2022", "gsm8k", "number", "3, 4", None, "4"),
        ("kojima2022", "aqua", "choice", "", " None: Apple", "A"),
        ("kojima2022", "tracking_shuffled_objects", "choice", "", "DC", "C"),
        ("kojima2022", "date_understanding", "choice", "", "F", "F"),
        ("kojima2022", "strategy_qa", "yes_no", "", ":\n\nYes, no", "yes"),
        ("kojima2022", "last_letters", "text", "", ' "a b.".\n', "ab"),
        ("kojima2022", "aqua", "choice", "", " 12", ""),
        ("ho2023", "gsm8k", "number", "1 --> 2, 3 --> 4", None, "2"),
        ("ho2023", "gsm8k", "number", "1, 2", None, "2"),
        ("ho2023", "gsm8k", "number", "x", " 18.00", "18.00"),
        ("ho2023", "aqua", "choice", "", " 12", None),
        ("ho2023", "last_letter_concatenation", "text", 'x The answer is "ab".', None, "ab"),
    ],
)
def test_published_rules(
    name: str, task: str, kind: str, completion: str, second: str | None, expected: str | None
) -> None:
    evaluator = PublishedEvaluator(name, task, kind)  # type: ignore[arg-type]
    assert evaluator.predict(completion, second) == expected


def test_published_comparison_keeps_its_faults() -> None:
    assert not PublishedEvaluator("ho2023", "gsm8k", "number").correct("18.00", "18")
    assert PublishedEvaluator("ho2023", "addsub", "number").correct("18.00", "18")
    assert not PublishedEvaluator("kojima2022", "addsub", "number").correct("18.00", "18")
    assert PublishedEvaluator("kojima2022", "svamp", "number").correct("51", "51.0")
    assert PublishedEvaluator("ho2023", "strategy_qa", "yes_no").correct("yes", "Yes")
    template = PublishedEvaluator("ho2023", "gsm8k", "number", "ft_cot_natural")
    assert template.predict("so 3. Therefore, the answer is 4 or 5") == "4"

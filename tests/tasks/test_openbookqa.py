import json
from pathlib import Path

from cotdistill.tasks.openbookqa import OpenBookQA


def test_the_shared_test_questions(shared_data: Path) -> None:
    test = list(OpenBookQA(data_dir=str(shared_data)).questions("test"))
    assert len(test) == 500
    assert all(
        len(question.options) == 4 and not question.text.startswith("Q:") for question in test
    )
    assert list(OpenBookQA(data_dir=str(shared_data)).questions("train")) == []


def test_rows_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "openbookqa").mkdir()
    row = {
        "question_stem": "Which?",
        "choices": {"text": ["x", "y"], "label": ["A", "B"]},
        "answerKey": "A",
        "fact1": "x is",
    }
    (tmp_path / "openbookqa" / "test.jsonl").write_text(json.dumps(row))
    (plain,) = OpenBookQA(data_dir=str(tmp_path)).questions("test")
    (helped,) = OpenBookQA(data_dir=str(tmp_path), fact=True).questions("test")
    assert (plain.answer, plain.context, helped.context) == ("A", "", "x is")

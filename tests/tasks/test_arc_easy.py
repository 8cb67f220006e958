import json
from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.tasks.arc_easy import ArcEasy


def test_letters_and_digits_as_labels(tmp_path: Path) -> None:
    (tmp_path / "arc_easy").mkdir()
    rows = [
        {
            "question": "Which?",
            "choices": {"text": ["x", "y", "z"], "label": labels},
            "answerKey": labels[1],
        }
        for labels in (["A", "B", "C"], ["1", "2", "3"])
    ]
    (tmp_path / "arc_easy" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    questions = list(ArcEasy(data_dir=str(tmp_path)).questions("test"))
    assert [question.answer for question in questions] == ["B", "B"]
    assert questions[1].id == "arc_easy/1" and questions[1].options == ("x", "y", "z")


def test_choices_of_another_form_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "arc_easy").mkdir()
    (tmp_path / "arc_easy" / "test.jsonl").write_text(
        '{"question": "Which?", "choices": 7, "answerKey": "A"}'
    )
    with pytest.raises(DataError, match=r"test.jsonl:1: options: not a list of texts"):
        ArcEasy(data_dir=str(tmp_path)).questions("test")

import json
from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.tasks.scienceqa import ScienceQA

ROW = {
    "question": "Which?",
    "choices": ["x", "y"],
    "answer": 1,
    "hint": "Look.",
    "lecture": "Long.",
    "solution": "It is  y.",
}


def write(folder: Path, *rows: dict[str, object]) -> str:
    (folder / "scienceqa").mkdir(exist_ok=True)
    (folder / "scienceqa" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder)


def test_questions_with_an_image_are_left_out_and_the_index_stays(tmp_path: Path) -> None:
    (question,) = ScienceQA(
        data_dir=write(tmp_path, ROW | {"image": {"path": "x.png"}}, ROW | {"image": None})
    ).questions("test")
    assert (question.id, question.answer, question.context, question.rationale) == (
        "scienceqa/1",
        "B",
        "Look.",
        "It is y.",
    )
    (longer,) = ScienceQA(data_dir=str(tmp_path), lecture=True).questions("test")
    assert longer.context == "Look. Long."


def test_an_index_out_of_range_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"test.jsonl:1: answer '2' names none of the 2 options"):
        ScienceQA(data_dir=write(tmp_path, ROW | {"answer": 2})).questions("test")

import json
from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.tasks.aqua import Aqua

ROW = {
    "question": "How many?",
    "options": ["A)21", "B) 21.5", "C)22"],
    "rationale": "Twice  11.",
    "correct": "C",
}


def test_official_rows(tmp_path: Path) -> None:
    (tmp_path / "aqua").mkdir()
    for split, count in (("train", 3), ("validation", 2), ("test", 1)):
        (tmp_path / "aqua" / f"{split}.jsonl").write_text("\n".join([json.dumps(ROW)] * count))
    task = Aqua(data_dir=str(tmp_path))
    assert [len(list(task.questions(split))) for split in ("train", "validation", "test")] == [
        3,
        2,
        1,
    ]  # type: ignore[arg-type]
    (question,) = task.questions("test")
    assert (question.id, question.answer, question.options) == ("aqua/5", "C", ("21", "21.5", "22"))
    assert question.rationale == "Twice 11."


def test_rows_of_ho_et_al(tmp_path: Path) -> None:
    row = {"question": "How many? Answer choices: (A) 21, (B) 21.5, (C) 1,022.", "answer": "C"}
    (tmp_path / "aqua.json").write_text(json.dumps([row]))
    (question,) = Aqua(data_dir=str(tmp_path), validation=0).questions("train")
    assert question.options == ("21", "21.5", "1,022")


def test_a_wrong_letter_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "aqua").mkdir()
    (tmp_path / "aqua" / "test.jsonl").write_text(json.dumps(ROW | {"correct": "D"}))
    with pytest.raises(
        DataError, match=r"test.jsonl:1: answer 'D' names none of the 3 options; use a letter A–C"
    ):
        Aqua(data_dir=str(tmp_path)).questions("test")

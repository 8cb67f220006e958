import json
from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.tasks.gsm8k import GSM8K


def test_official_split_and_ids(shared_data: Path) -> None:
    task = GSM8K(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (7473, 1319)
    assert (train[0].id, test[0].id) == ("gsm8k/0", "gsm8k/7473")
    assert all("<<" not in question.rationale for question in train)
    assert all(question.steps for question in train + test)


def test_socratic_steps_of_the_test_split(shared_data: Path) -> None:
    (first, *_) = GSM8K(data_dir=str(shared_data)).questions("test")
    assert len(first.steps) == 2
    assert first.steps[0].question.startswith("How many eggs")
    assert first.steps[-1].answer == first.answer == "18"


def test_an_answer_without_its_mark_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    rows = [
        {"question": "a?", "answer": "1+1=<<1+1=2>>2\n#### 2"},
        {"question": "b?", "answer": "3"},
    ]
    (tmp_path / "gsm8k" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"train.jsonl:2: answer: has no '####'"):
        GSM8K(data_dir=str(tmp_path)).questions("train")

from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.evaluation.contamination import contamination_report
from cotdistill.tasks.multiarith import MultiArith


def test_published_split(shared_data: Path) -> None:
    task = MultiArith(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (420, 180)
    assert test[0].id == "multiarith/3"
    assert all(
        question.answer is not None and question.answer.isdigit() for question in train + test
    )


def test_template_split_shares_no_template(shared_data: Path) -> None:
    task = MultiArith(data_dir=str(shared_data), split="template", validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (413, 187)
    assert contamination_report(train, test, near=False).template.ids == ()


def test_validation_comes_out_of_train_only(shared_data: Path) -> None:
    whole = MultiArith(data_dir=str(shared_data), validation=0)
    task = MultiArith(data_dir=str(shared_data), validation=42)
    parts = {
        split: {q.id for q in task.questions(split)} for split in ("train", "validation", "test")
    }
    assert len(parts["validation"]) == 42
    assert parts["test"] == {q.id for q in whole.questions("test")}
    assert parts["train"] | parts["validation"] == {q.id for q in whole.questions("train")}
    assert parts == {
        s: {q.id for q in MultiArith(data_dir=str(shared_data), validation=42).questions(s)}
        for s in parts
    }


def test_environment_names_the_folder(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(shared_data))
    assert sum(1 for _ in MultiArith().questions("test")) == 180


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data_dir: no folder .*; name the folder"):
        MultiArith(data_dir=str(tmp_path / "none")).questions("test")


def test_without_published_files_shares_and_templates_are_dealt_by_the_seed(tmp_path: Path) -> None:
    rows = [
        {"question": f"{name} has {i} pens in {place}?", "answer": str(i)}
        for i in range(5)
        for name in ("Ana", "Bob")
        for place in ("a box", "a bag", "a tin")
    ]
    import json

    (tmp_path / "multiarith.json").write_text(json.dumps(rows))
    by_share = MultiArith(data_dir=str(tmp_path), validation=0)
    assert (len(list(by_share.questions("train"))), len(list(by_share.questions("test")))) == (
        21,
        9,
    )
    by_template = MultiArith(data_dir=str(tmp_path), split="template", validation=0)
    train, test = list(by_template.questions("train")), list(by_template.questions("test"))
    assert len(train) + len(test) == 30 and test
    assert contamination_report(train, test, near=False).template.ids == ()


def test_a_wrong_answer_names_its_place(tmp_path: Path) -> None:
    (tmp_path / "multiarith.json").write_text('[{"question": "How many?", "answer": "many"}]')
    with pytest.raises(
        DataError, match=r"multiarith.json: item 0: answer: 'many' is no number; correct it"
    ):
        MultiArith(data_dir=str(tmp_path)).questions("test")

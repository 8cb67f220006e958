from pathlib import Path

import pytest
from pydantic import ValidationError

from cotdistill.errors import DataError
from cotdistill.tasks.mawps import Mawps


def test_five_folds(shared_data: Path) -> None:
    for fold in range(5):
        task = Mawps(data_dir=str(shared_data), fold=fold, validation=0)
        train, test = list(task.questions("train")), list(task.questions("test"))
        assert len(train) + len(test) == 1921
        assert not any("number0" in question.text for question in train + test)
        assert all(question.meta["steps"] >= 1 for question in test)


def test_numbers_are_put_back(shared_data: Path) -> None:
    (first, *_) = Mawps(data_dir=str(shared_data)).questions("test")
    assert "number0" not in first.text
    assert {"56", "9"} <= set(first.text.split())
    assert (first.answer, first.meta["operation"]) == ("504", "multiplication")


def test_a_missing_value_names_the_line(tmp_path: Path) -> None:
    folder = tmp_path / "cv_mawps" / "fold0"
    folder.mkdir(parents=True)
    for name in ("train.csv", "dev.csv"):
        (folder / name).write_text(
            "Question,Numbers,Equation,Answer\nHow many are number1 ?,5.0,number1,5\n"
        )
    with pytest.raises(DataError, match=r"train.csv:2: Numbers: no value for number1"):
        Mawps(data_dir=str(tmp_path)).questions("test")


def test_there_are_five_folds_only() -> None:
    with pytest.raises(ValidationError):
        Mawps(fold=5)

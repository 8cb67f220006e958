from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.tasks.asdiv import ASDiv


def test_published_folds_of_the_arithmetic_subset(shared_data: Path) -> None:
    sizes = []
    for fold in range(5):
        task = ASDiv(data_dir=str(shared_data), fold=fold, validation=0)
        sizes.append(
            (sum(1 for _ in task.questions("train")), sum(1 for _ in task.questions("test")))
        )
    assert [train + test for train, test in sizes] == [1217] * 5
    assert [test for _, test in sizes] == [238, 238, 238, 237, 266]


def test_all_of_it_leaves_out_what_is_not_one_number(shared_data: Path) -> None:
    tests = []
    for fold in range(5):
        task = ASDiv(data_dir=str(shared_data), subset="all", fold=fold, validation=0)
        train, test = list(task.questions("train")), list(task.questions("test"))
        tests.append({question.id for question in test})
        assert not tests[-1] & {question.id for question in train}
        assert all(
            task.answer_type.same(question.answer, question.answer) for question in train + test
        )
    assert len(set.union(*tests)) == sum(map(len, tests)) == 2092


def test_rows_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "asdiv").mkdir()
    rows = (
        (
            '{"body": "Ana has 3 pens.", "question": "How many?", "answer": "3 (pens)", '
            '"solution_type": "Addition", "formula": "3"}'
        ),
        (
            '{"body": "A ratio.", "question": "Which?", "answer": "6:7", "solution_type": '
            '"Ratio", "formula": ""}'
        ),
    )
    (tmp_path / "asdiv" / "test.jsonl").write_text("\n".join(rows))
    (question,) = ASDiv(data_dir=str(tmp_path)).questions("test")
    assert (question.answer, question.meta) == ("3", {"operation": "addition"})


def test_malformed_xml_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "asdiv").mkdir()
    (tmp_path / "asdiv" / "ASDiv.xml").write_text("<a><Problem>")
    with pytest.raises(DataError, match=r"ASDiv.xml: malformed XML"):
        ASDiv(data_dir=str(tmp_path), subset="all").questions("test")

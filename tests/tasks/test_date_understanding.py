from pathlib import Path

from cotdistill.tasks.date_understanding import DateUnderstanding


def test_published_split(shared_data: Path) -> None:
    task = DateUnderstanding(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (258, 111)
    assert not {q.id for q in train} & {q.id for q in test}
    assert all(
        len(question.options) >= 2 and question.answer is not None for question in train + test
    )


def test_template_split(shared_data: Path) -> None:
    task = DateUnderstanding(data_dir=str(shared_data), split="template", validation=0)
    assert len(list(task.questions("train"))) == 261
    assert len(list(task.questions("test"))) == 108


def test_rows_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "date_understanding").mkdir()
    row = (
        '{"inputs": "Q: Which?\\n  choice: x\\nA:", "multiple_choice_targets": ["x", "y", '
        '"z"], "multiple_choice_scores": [1, 0, 0]}'
    )
    (tmp_path / "date_understanding" / "test.jsonl").write_text("\n".join([row] * 20))
    questions = list(DateUnderstanding(data_dir=str(tmp_path)).questions("test"))
    assert all(
        question.options["ABC".index(question.answer or "")] == "x" for question in questions
    )
    assert len({question.answer for question in questions}) == 3
    assert questions[0].text == "Which?"

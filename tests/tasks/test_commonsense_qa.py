from pathlib import Path

from cotdistill.tasks.commonsense_qa import CommonsenseQA


def test_published_split(shared_data: Path) -> None:
    task = CommonsenseQA(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (9741, 1221)
    assert not {q.id for q in train} & {q.id for q in test}
    assert all(
        len(question.options) == 5 and question.answer in set("ABCDE") for question in train + test
    )
    assert "Answer choices" not in test[0].text


def test_rows_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "commonsense_qa").mkdir()
    choices = '{"text": ["x", "y"], "label": ["A", "B"]}'
    row = f'{{"question": "Which?", "choices": {choices}, "answerKey": "B"}}'
    (tmp_path / "commonsense_qa" / "test.jsonl").write_text(row)
    (question,) = CommonsenseQA(data_dir=str(tmp_path)).questions("test")
    assert (question.answer, question.options) == ("B", ("x", "y"))

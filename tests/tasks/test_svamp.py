from pathlib import Path

from cotdistill.tasks.svamp import SVAMP


def test_published_split(shared_data: Path) -> None:
    task = SVAMP(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (700, 300)
    assert not {q.id for q in train} & {q.id for q in test}
    assert all(task.answer_type.same(question.answer, question.answer) for question in train + test)


def test_rows_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "svamp").mkdir()
    row = (
        '{"Body": "Ana has 3 pens.", "Question": "How many are 2 more?", "Answer": "5.0", '
        '"Type": "Addition"}'
    )
    (tmp_path / "svamp" / "test.jsonl").write_text(row)
    (question,) = SVAMP(data_dir=str(tmp_path)).questions("test")
    assert question.text == "Ana has 3 pens. How many are 2 more?"
    assert (question.answer, question.meta) == ("5", {"operation": "addition"})

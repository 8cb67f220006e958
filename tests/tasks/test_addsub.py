from pathlib import Path

from cotdistill.tasks.addsub import AddSub


def test_published_split(shared_data: Path) -> None:
    task = AddSub(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (276, 119)
    assert not {q.id for q in train} & {q.id for q in test}
    assert all(task.answer_type.same(question.answer, question.answer) for question in train + test)

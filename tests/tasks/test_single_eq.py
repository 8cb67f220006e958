from pathlib import Path

from cotdistill.tasks.single_eq import SingleEq


def test_published_split(shared_data: Path) -> None:
    task = SingleEq(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (356, 152)
    assert not {q.id for q in train} & {q.id for q in test}
    assert all(task.answer_type.same(question.answer, question.answer) for question in train + test)

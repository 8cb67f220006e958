from pathlib import Path

from cotdistill.tasks.last_letter_concatenation import LastLetterConcatenation


def test_published_split_and_longer_questions(shared_data: Path) -> None:
    task = LastLetterConcatenation(data_dir=str(shared_data), validation=0)
    train, test, ood = (list(task.questions(split)) for split in ("train", "test", "ood"))
    assert (len(train), len(test), len(ood)) == (350, 150, 200)
    for question in [*train[:20], *ood]:
        names = question.text.split('"')[1].split()
        assert question.answer == "".join(name[-1] for name in names)
    seen = {name for question in train for name in question.text.split('"')[1].split()}
    assert all(set(question.text.split('"')[1].split()) <= seen for question in ood)

from pathlib import Path

from cotdistill.tasks.last_letter_concatenation import LastLetterConcatenation


def test_published_split(shared_data: Path) -> None:
    task = LastLetterConcatenation(data_dir=str(shared_data), validation=0)
    train, test = (list(task.questions(split)) for split in ("train", "test"))
    assert (len(train), len(test)) == (350, 150)
    for question in train[:20]:
        names = question.text.split('"')[1].split()
        assert question.answer == "".join(name[-1] for name in names)

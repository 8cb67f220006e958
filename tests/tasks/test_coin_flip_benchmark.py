from pathlib import Path

from cotdistill.evaluation.contamination import contamination_report
from cotdistill.tasks.coin_flip_benchmark import CoinFlipBenchmark


def test_published_split_and_known_contamination(shared_data: Path) -> None:
    task = CoinFlipBenchmark(data_dir=str(shared_data), validation=0)
    train, test = (list(task.questions(split)) for split in ("train", "test"))
    assert (len(train), len(test)) == (350, 150)
    assert {question.answer for question in train} == {"yes", "no"}
    for question in test:
        flips = question.text.count(" flips the coin")
        assert question.answer == ("yes" if flips % 2 == 0 else "no")
    assert str(contamination_report(train, test, near=False).template) == "141/150"

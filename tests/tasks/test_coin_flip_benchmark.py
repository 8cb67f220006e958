from pathlib import Path

from cotdistill.evaluation.contamination import contamination_report
from cotdistill.tasks.coin_flip_benchmark import CoinFlipBenchmark


def test_published_split_and_longer_questions(shared_data: Path) -> None:
    task = CoinFlipBenchmark(data_dir=str(shared_data), validation=0)
    train, test, ood = (list(task.questions(split)) for split in ("train", "test", "ood"))
    assert (len(train), len(test), len(ood)) == (350, 150, 200)
    assert {question.answer for question in train} == {"yes", "no"}
    assert {question.text.count("the coin.") for question in ood} == {6, 8}
    for question in ood:
        flips = question.text.count(" flips the coin")
        assert question.answer == ("yes" if flips % 2 == 0 else "no")


def test_more_longer_questions_keep_those_there_were(shared_data: Path) -> None:
    few = list(CoinFlipBenchmark(data_dir=str(shared_data), ood_count=3).questions("ood"))
    many = {
        question.id: question
        for question in CoinFlipBenchmark(data_dir=str(shared_data)).questions("ood")
    }
    assert all(many[question.id] == question for question in few)


def test_known_contamination(shared_data: Path) -> None:
    task = CoinFlipBenchmark(data_dir=str(shared_data), validation=0)
    report = contamination_report(task.questions("train"), task.questions("test"), near=False)
    assert str(report.template) == "141/150"

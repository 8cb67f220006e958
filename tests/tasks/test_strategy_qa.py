from pathlib import Path

from cotdistill.tasks.strategy_qa import StrategyQA


def test_published_split(shared_data: Path) -> None:
    task = StrategyQA(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (1603, 687)
    assert not {q.id for q in train} & {q.id for q in test}
    assert {question.answer for question in train} == {"yes", "no"}
    assert all(question.rationale for question in train)


def test_rows_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "strategy_qa").mkdir()
    (tmp_path / "strategy_qa" / "test.jsonl").write_text(
        '{"question": "Is it?", "answer": true, "facts": "It  is."}'
    )
    (question,) = StrategyQA(data_dir=str(tmp_path)).questions("test")
    assert (question.answer, question.rationale) == ("yes", "It is.")

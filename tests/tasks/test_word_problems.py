"""The task `word_problems`: sizes, ids, answers of its type, no needless drawing."""

from __future__ import annotations

from cotdistill.tasks.word_problems import WordProblems


def test_sizes_and_ids_follow_the_settings() -> None:
    task = WordProblems(train=5, validation=0, test=3, ood=1)
    assert [question.id for question in task.questions("test")] == [
        f"word_problems/test/{i}" for i in range(3)
    ]
    assert len(list(task.questions("train"))) == 5
    assert list(task.questions("validation")) == []
    assert len(list(task.questions("ood"))) == 1


def test_gold_answers_are_of_the_kind_of_the_task() -> None:
    task = WordProblems(test=20)
    for question in task.questions("test"):
        assert task.answer_type.same(question.answer, question.answer)


def test_another_seed_gives_other_questions() -> None:
    assert next(WordProblems().questions("train")) != next(WordProblems(seed=1).questions("train"))

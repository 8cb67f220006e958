import re
from pathlib import Path

from cotdistill.tasks.tracking_shuffled_objects import TrackingShuffledObjects


def test_published_split(shared_data: Path) -> None:
    task = TrackingShuffledObjects(data_dir=str(shared_data), validation=0)
    train, test = list(task.questions("train")), list(task.questions("test"))
    assert (len(train), len(test)) == (525, 225)
    assert not {q.id for q in train} & {q.id for q in test}
    assert all(len(question.options) == 3 for question in train + test)


def test_rows_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "tracking_shuffled_objects").mkdir()
    row = (
        '{"inputs": "Q: Which?\\n  choice: x\\nA:", "multiple_choice_targets": ["x", "y", '
        '"z"], "multiple_choice_scores": [1, 0, 0]}'
    )
    (tmp_path / "tracking_shuffled_objects" / "test.jsonl").write_text("\n".join([row] * 20))
    questions = list(TrackingShuffledObjects(data_dir=str(tmp_path)).questions("test"))
    assert all(
        question.options["ABC".index(question.answer or "")] == "x" for question in questions
    )
    assert len({question.answer for question in questions}) == 3
    assert questions[0].text == "Which?"


def test_gold_is_what_carrying_the_swaps_out_gives(shared_data: Path) -> None:
    task = TrackingShuffledObjects(data_dir=str(shared_data))
    for question in task.questions("test"):
        holds = dict(zip(("Alice", "Bob", "Claire"), question.options, strict=True))
        for one, other in re.findall(r"(?:First|Then|Finally), (\w+) and (\w+) ", question.text):
            holds[one], holds[other] = holds[other], holds[one]
        (who,) = re.findall(r"At the end of [\w ]+, (\w+) ", question.text)
        assert question.options["ABC".index(question.answer or "")] == holds[who]

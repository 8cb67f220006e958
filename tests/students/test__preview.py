"""The tokens a user sees before training."""

from __future__ import annotations

from pathlib import Path

from cotdistill.contracts import TrainSettings
from cotdistill.records import Example
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint

EXAMPLES = [
    Example("student", "Q: Ana has 3 apples", "3 + 8 = 11. --> 11"),
    Example("student", "Q: Ana has 3 apples", "It is <11>. --> 11", weight=0.5),
]


def test_read_and_learnt_tokens_are_told_apart(tmp_path: Path) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path, "gpt2")))
    text = student.preview(EXAMPLES, TrainSettings())
    read, learnt = (line for line in text.splitlines()[1:3])
    assert read.replace("|", "").split("read")[1].strip() == "Q: Ana has 3 apples ###"
    assert learnt.replace("|", "").split("learnt")[1].strip() == "3 + 8 = 11. --> 11<endoftext>"
    assert "weight 0.5" in text
    assert "2 examples of 1 prompts" in text


def test_characters_out_of_the_vocabulary_are_counted(tmp_path: Path) -> None:
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path, "t5")))
    assert "out of the vocabulary: '<' ×1" in student.preview(EXAMPLES, TrainSettings())

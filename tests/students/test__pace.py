"""The speed of a student: what is measured, and that it ends by time."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.contracts import Pace, TrainSettings
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.records import Example
from cotdistill.students import _pace
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint

EXAMPLES = [
    Example("student", f"How much is {n} + 1?", f"{n} + 1 = {n + 1}. --> {n + 1}" * (1 + n % 3))
    for n in range(16)
]


@pytest.mark.parametrize(("seconds", "steps", "rows"), [(0.0, [2, 1], 8), (1e6, [6, 6], 16)])
def test_a_measurement_ends_by_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: float, steps: list[int], rows: int
) -> None:
    timers = list[_pace.StepTimer]()

    class Noted(_pace.StepTimer):
        def __init__(self, least: int) -> None:
            super().__init__(least)
            timers.append(self)

    monkeypatch.setattr(_pace, "SECONDS", seconds)
    monkeypatch.setattr(_pace, "StepTimer", Noted)
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path, "llama")))
    found = student.pace(EXAMPLES, TrainSettings(batch_size=4), TransformersEngine())
    assert isinstance(found, Pace) and found.rows == rows
    assert [len(timer.seconds) for timer in timers] == steps
    learnt, written = found.operations
    assert learnt > written > 0 and found.token > 0 and found.answer_token > 0

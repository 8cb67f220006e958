"""Speed of a student in learning and answering on this machine: a few steps of its own training,
and a few answers of its own engine.

Steps are timed with the shortest and with the longest examples, and answers of two lengths, so that
what a step or an answer costs at least is told from what a token costs. The first of each is not
counted: it warms the machine up.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from cotdistill.checkpoints.loading import context_limit
from cotdistill.contracts import Engine, EnginePlugin, Pace, TrainSettings
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.records import Example, Request
from cotdistill.students._data import TokenizedExample, prepare
from cotdistill.students._loading import adapted, build_base, load_engine
from cotdistill.students._processes import count_processes
from cotdistill.students._settings import TransformersSettings
from cotdistill.students._training import TrainingJob, base_dtype, make_trainer

STEPS = 6
"""Steps of each length; the first is not counted, and of the others the median is taken."""
ANSWERS, SHORT, LONG = 32, 2, 24
"""Answers asked at once, and their lengths in tokens."""


def measure_pace(
    student: TransformersSettings,
    examples: Sequence[Example],
    settings: TrainSettings,
    engine: EnginePlugin,
) -> Pace:
    """Measure `Student.pace`; nothing that the run makes is touched."""
    began = time.monotonic()
    inner, codec = build_base(student, dtype=base_dtype(student, settings))
    load = time.monotonic() - began
    weights = sum(one.numel() * one.element_size() for one in inner.parameters())
    parameters = sum(one.numel() for one in inner.parameters())
    rows = prepare(examples, codec, CrossEntropy(), settings, context_limit(inner.config)).rows
    rows.sort(key=lambda row: row.length)
    letters = sum(len(row.example.prompt) + len(row.example.target) for row in rows)
    tokens = sum(row.length for row in rows) / max(1, letters)
    size = settings.batch_size * settings.gradient_accumulation
    model = adapted(inner, student, settings)
    ends = [(rows * size)[:size], (rows[::-1] * size)[:size]]
    times = [_step_seconds(model, inner, several, student, settings) for several in ends]
    lengths = [float(sum(row.length for row in several)) for several in ends]
    step, token = _two_points(lengths, times)
    answer, answer_token = _answer_seconds(load_engine(student, None, engine), rows)
    size_of = (tokens, parameters, weights, count_processes(settings))
    return Pace(load, step, token, answer, answer_token, *size_of)


def _two_points(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return what is fixed and what each unit of x adds; all is in the units where that fails."""
    slope = (y[1] - y[0]) / (x[1] - x[0]) if x[1] > x[0] else 0.0
    fixed = y[0] - slope * x[0]
    return (fixed, slope) if slope > 0 and fixed > 0 else (0.0, sum(y) / max(sum(x), 1e-9))


class StepTimer(TrainerCallback):  # type: ignore[misc]
    """Seconds of each optimizer step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append(time.monotonic() - self._began)


def _step_seconds(
    model: Any,
    inner: Any,
    rows: list[TokenizedExample],
    student: TransformersSettings,
    settings: TrainSettings,
) -> float:
    few = settings.model_copy(update={"max_steps": STEPS, "report_to": (), "processes": 1})
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, Any] = {"examples": Path(folder), "out": Path(folder) / "checkpoint"}
        kinds: dict[str, Any] = {"objective": {"name": "cross_entropy"}, "settings": few, "seed": 0}
        job = TrainingJob(student=student, start=None, validation=None, **files, **kinds)
        trainer = make_trainer(model, inner, rows, CrossEntropy(), job)
        timer = StepTimer()
        trainer.add_callback(timer)
        trainer.train()
    return statistics.median(timer.seconds[1:])


def _answer_seconds(engine: Engine, rows: Sequence[TokenizedExample]) -> tuple[float, float]:
    prompts = [row.example.prompt for row in rows][:: max(1, len(rows) // ANSWERS)][:ANSWERS]
    seconds, written = list[float](), list[float]()
    for length in (SHORT, SHORT, LONG):
        began = time.monotonic()
        # Sampled hot, so that an untrained student does not end at once.
        wanted = [(Request(prompt, temperature=2.0, max_tokens=length), 0) for prompt in prompts]
        replies = [one for one in engine.generate(wanted) if not isinstance(one, Exception)]
        seconds.append((time.monotonic() - began) / len(prompts))
        written.append(sum(one.completion_tokens for one in replies) / len(prompts))
    return _two_points(written[1:], seconds[1:])

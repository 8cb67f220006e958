"""Speed of a student in learning and answering on this machine: a few steps of its own training,
and a few answers of its own engine, within a time.

Steps are timed with one short example and with a whole batch of the longest, and answers of two
lengths, so that what a step or an answer costs at least is told from what a token costs.
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

STEPS, SECONDS = 6, 8.0
"""A measurement ends with so many steps, or with the first one after so many seconds."""
ANSWERS, FEW, SHORT, LONG = 32, 8, 2, 24
"""Answers asked at once, fewer where they take longer than that, and their lengths in tokens."""


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
    rows = prepare(examples, codec, CrossEntropy(), settings, context_limit(inner.config)).rows
    rows.sort(key=lambda row: row.length)
    letters = sum(len(row.example.prompt) + len(row.example.target) for row in rows)
    tokens = sum(row.length for row in rows) / max(1, letters)
    operations = _operations(inner, rows)
    model = adapted(inner, student, settings)
    size = settings.batch_size * settings.gradient_accumulation
    # The short one comes first: it warms the machine up, and costs little.
    ends = [rows[:1] * settings.gradient_accumulation, (rows[::-1] * size)[:size]]
    times = [_step_seconds(model, inner, several, student, settings) for several in ends]
    lengths = [float(sum(row.length for row in several)) for several in ends]
    step, token = _two_points(lengths, times)
    answers = _answer_seconds(load_engine(student, None, engine), rows)
    return Pace(load, step, token, *answers, tokens, weights, count_processes(settings), operations)


def _operations(model: Any, rows: Sequence[TokenizedExample]) -> tuple[float, float]:
    """Return `Pace.operations`: 2 for each weight and token, 4 more where it is learnt from; the
    output matrix at target tokens alone, and no attention."""
    matrices = (model.get_input_embeddings().weight, model.get_output_embeddings().weight)
    tables, head = {id(one): one.numel() for one in matrices}, matrices[1].numel()
    body = sum(one.numel() for one in model.parameters()) - sum(tables.values())
    learnt = sum(row.learnt for row in rows) / max(1, sum(row.length for row in rows))
    return 6 * (body + learnt * head), 2.0 * (body + head)


def _two_points(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return what is fixed and what each unit of x adds; all is in the units where that fails."""
    slope = (y[1] - y[0]) / (x[1] - x[0]) if x[1] > x[0] else 0.0
    fixed = y[0] - slope * x[0]
    return (fixed, slope) if slope > 0 and fixed > 0 else (0.0, sum(y) / max(sum(x), 1e-9))


class StepTimer(TrainerCallback):  # type: ignore[misc]
    """Seconds of each optimizer step; the first after `SECONDS` is the last, of `least` or more."""

    def __init__(self, least: int) -> None:
        self.seconds: list[float] = []
        self._least = least
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append(time.monotonic() - self._began)
        enough = len(self.seconds) >= self._least and sum(self.seconds) > SECONDS
        control.should_training_stop |= enough


def _step_seconds(
    model: Any,
    inner: Any,
    rows: list[TokenizedExample],
    student: TransformersSettings,
    settings: TrainSettings,
) -> float:
    few = {"max_steps": STEPS, "report_to": (), "processes": 1, "selection": "last"}
    few |= {"batch_size": len(rows) // settings.gradient_accumulation}
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, Any] = {"examples": Path(folder), "out": Path(folder) / "checkpoint"}
        kinds: dict[str, Any] = {"objective": {"name": "cross_entropy"}, "seed": 0}
        kinds["settings"] = settings.model_copy(update=few)
        job = TrainingJob(student=student, start=None, validation=None, **files, **kinds)
        trainer = make_trainer(model, inner, rows, CrossEntropy(), job)
        # The first step on a cold machine says nothing; the short example's second costs little.
        timer = StepTimer(2 if len(rows) <= settings.gradient_accumulation else 1)
        trainer.add_callback(timer)
        trainer.train()
    # The first makes the optimizer's state; where it alone took all the time, it is what there is.
    return statistics.median(timer.seconds[1:] or timer.seconds)


def _answer_seconds(engine: Engine, rows: Sequence[TokenizedExample]) -> tuple[float, float, int]:
    """Return seconds of an answer, of a token of it, and how many were asked at once."""
    prompts = [row.example.prompt for row in rows][:: max(1, len(rows) // ANSWERS)][:ANSWERS]

    def ask(count: int, length: int) -> tuple[float, float]:
        began = time.monotonic()
        # Sampled hot, so that an untrained student does not end at once.
        wanted = [(Request(one, temperature=2.0, max_tokens=length), 0) for one in prompts[:count]]
        replies = [one for one in engine.generate(wanted) if not isinstance(one, Exception)]
        written = sum(one.completion_tokens for one in replies)
        return written / count, (time.monotonic() - began) / count

    ask(1, SHORT)  # warms the machine up
    # One alone takes more of the time than one of a batch.
    count = min(len(prompts), max(FEW, int(SECONDS / ask(1, SHORT)[1])))
    written, seconds = zip(ask(count, SHORT), ask(count, LONG), strict=True)
    return *_two_points(written, seconds), count

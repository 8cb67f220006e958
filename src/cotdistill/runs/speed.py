"""Speed of this machine's products and memory, and of a recipe's student at learning and answers.

Everything is wall time of short runs of the very code that a recipe runs. What is possible follows
from the machine: a training step takes at least its products (6 floating-point operations for each
weight and token: 2 forward, 4 backward; the output matrix at target tokens alone), and a token of a
batch at least the reading of all weights, or the batch's products. Attention is left out of both,
so the shares are slightly too low.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch

from cotdistill import plugins
from cotdistill.contracts import Engine, Objective, TrainSettings
from cotdistill.engines.transformers import ModelEngine
from cotdistill.records import Completion, Example, Request
from cotdistill.runs.grid import Cell
from cotdistill.runs.run import Run
from cotdistill.util.files import write_jsonl

_PATIENCE = 15.0
"""Seconds after which a measurement ends with what it has."""
_QUESTIONS, _ASKED, _TOKENS, _WORDS = 512, 8, 48, 100
"""Questions learnt from, prompts of the batch that is answered, tokens of an answer, tokens of a
target whose tokenizer is not known."""
_FILLER = " ".join(f"Step {number}: {number} plus {number} is {2 * number}." for number in range(9))
"""Stands for the rationale of a question that has none: about 100 tokens."""


@dataclass(frozen=True)
class MachineSpeed:
    """Rates of the device that training takes: products in operations/s by precision, memory in
    bytes/s."""

    device: str
    products: dict[str, float]
    memory: float

    @property
    def best(self) -> float:
        return max(self.products.values())


@dataclass(frozen=True)
class StudentSpeed:
    """Time that a student takes to learn and to answer.

    `learning` and `answering` are shares of what the machine allows, None where the student's
    weights cannot be counted.
    """

    step_seconds: float
    step_examples: int
    example_tokens: float
    target_tokens: float
    tokens_per_second: float
    learning: float | None
    answering: float | None

    def training_seconds(self, examples: int, settings: TrainSettings) -> float:
        """Return how long a role takes to learn so many examples."""
        return self.step_seconds * settings.steps(examples)

    def answer_seconds(self, answers: int) -> float:
        """Return how long so many answers take, each as long as a target."""
        return answers * self.target_tokens / self.tokens_per_second


def measure_machine() -> MachineSpeed:
    """Time products of a usual student's shapes, and the copying of 256 MB; takes 2 s."""
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    size = 1024 if device.type == "cpu" else 8192
    rates: dict[str, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        seconds = _least(partial(torch.matmul, left, right), device)
        rates[str(dtype).removeprefix("torch.")] = 2 * size**3 / seconds
    source = torch.zeros(64 << 20, device=device)
    target = torch.empty_like(source)
    memory = 2 * source.nbytes / _least(lambda: target.copy_(source), device)
    return MachineSpeed(str(device), rates, memory)


def _least(work: Callable[[], Any], device: torch.device) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter() - began

    return min(once() for _ in range(8))


class _EnoughSteps(Exception):
    """Ends a training that was only to be timed."""


def measure_student(run: Run, cell: Cell, machine: MachineSpeed) -> StudentSpeed:
    """Time some training steps and answers of a cell's student on the recipe's own questions.

    Takes half a minute or less, loading and the first steps of a slow student aside.
    """
    examples = _examples(run, cell)
    settings = cell.method.train
    count = settings.batch_size * settings.gradient_accumulation
    step = _step_seconds(cell, examples, settings, count)
    engine = cell.student.plugin.engine(None, run.engine.plugin)
    rate = _answer_rate(engine, [one.prompt for one in examples[:_ASKED]])
    if not isinstance(engine, ModelEngine):
        return StudentSpeed(step, count, 0.0, _WORDS, rate, None, None)
    codec, model = engine.codec, engine.model
    prompt = statistics.fmean(len(codec.prompt_ids(one.prompt)) for one in examples)
    target = 1 + statistics.fmean(len(codec.target_ids(one.prompt, one.target)) for one in examples)
    head = model.get_output_embeddings().weight.numel()
    weights = sum(one.numel() for one in model.parameters())
    body = weights - model.get_input_embeddings().weight.numel()
    if model.get_output_embeddings().weight is not model.get_input_embeddings().weight:
        body -= head
    operations = 6 * count * (body * (prompt + target) + head * target)
    learning = operations / step / machine.best
    # A step of the batch reads every weight, and computes with it for every row.
    reading = weights * model.dtype.itemsize / machine.memory
    computing = 2 * (body + head) * _ASKED / machine.best
    answering = rate * max(reading, computing) / _ASKED
    return StudentSpeed(step, count, prompt + target, target, rate, learning, answering)


def _examples(run: Run, cell: Cell) -> list[Example]:
    questions = islice(run.questions(cell.task, "train"), _QUESTIONS)
    return [
        Example("student", one.text, f"{one.rationale or _FILLER} --> {one.answer}")
        for one in questions
    ]


def _step_seconds(
    cell: Cell, examples: Sequence[Example], settings: TrainSettings, count: int
) -> float:
    few = {"max_steps": 12, "selection": "last", "report_to": (), "save_minutes": 1e6}
    times = [time.perf_counter()]

    def note(steps: int, text: str) -> None:
        times.append(time.perf_counter())
        if len(times) > 2 and times[-1] - times[1] > _PATIENCE:
            raise _EnoughSteps

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "examples.jsonl"
        write_jsonl(path, (one.to_json() for one in examples))
        objective = plugins.build("objectives", "cross_entropy", Objective)
        with suppress(_EnoughSteps):
            cell.student.plugin.train(
                path,
                Path(place) / "out",
                objective=objective,
                settings=settings.model_copy(update=few),
                on_progress=note,
            )
    steps = [after - before for before, after in pairwise(times)]
    return statistics.median(steps[1:] or steps)  # loading is in the first


def _answer_rate(engine: Engine, prompts: Sequence[str]) -> float:
    """Return generated tokens/s of one batch."""
    began = time.perf_counter()
    made = engine.generate([(Request(prompt, max_tokens=_TOKENS), 0) for prompt in prompts])
    seconds = time.perf_counter() - began
    return sum(one.completion_tokens for one in made if isinstance(one, Completion)) / seconds

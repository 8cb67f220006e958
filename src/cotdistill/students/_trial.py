"""A student tried before anything is paid for: it loads, reads a tiny batch, and its loss is a
number."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from cotdistill.checkpoints.loading import context_limit
from cotdistill.contracts import TrainSettings, Trial
from cotdistill.errors import UserError
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.records import Example
from cotdistill.students._data import Collator, prepare
from cotdistill.students._loading import adapted, build_base
from cotdistill.students._processes import count_processes
from cotdistill.students._scoring import Scorer, form_for
from cotdistill.students._settings import TransformersSettings
from cotdistill.students._training import base_dtype

_TRAINED = 12
"""Bytes a parameter takes in training beside the weight: gradient and Adam's two moments."""


def try_student(
    student: TransformersSettings, examples: Sequence[Example], settings: TrainSettings
) -> Trial:
    """Load a student as its training will, on the CPU, and score the examples.

    Raises:
        UserError: it cannot be loaded, or its loss is no number.
    """
    dtype = base_dtype(student, settings)
    inner, codec = build_base(student, dtype=dtype)
    data = prepare(examples, codec, CrossEntropy(), settings, context_limit(inner.config))
    model = adapted(inner, student, settings)
    collator = Collator(share=False, form=form_for(inner))
    loss = Scorer(inner).probe(model, data.rows, collator)
    if not math.isfinite(loss):
        raise UserError(
            f"student {student.model or 'config'}: its loss on two examples is {loss}; its weights "
            "are damaged or not meant for this number format: take another checkpoint, or set "
            "`train.precision: float32`"
        )
    parameters = sum(one.numel() for one in inner.parameters())
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    weights = sum(one.numel() * one.element_size() for one in inner.parameters())
    held, count = weights + _TRAINED * trained, count_processes(settings)
    held *= 1 if settings.strategy == "fsdp" else count
    held //= count if torch.accelerator.is_available() else 1
    return Trial(loss, parameters, trained, held, _free_memory())


def _free_memory() -> int:
    """Return the bytes free on the accelerator, or without one in this machine's memory."""
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return int(free)
    try:
        text = Path("/proc/meminfo").read_text("ascii")
    except OSError:  # not Linux
        return 0
    return 1024 * int(text.partition("MemAvailable:")[2].split()[0])

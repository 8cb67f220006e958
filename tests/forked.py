"""Processes that start at once: forked from one that has imported what takes seconds."""

import gc
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "cotdistill.engines.transformers",
        "cotdistill.pipeline",
        "cotdistill.students._training",
        "matplotlib.backends.backend_svg",
        "pytest",
        "scipy.stats",
    ]
)


def start(target: Callable[..., Any], *arguments: Any, errors: str = os.devnull) -> BaseProcess:
    """Start a call, sent in its pickled form, in a process with this one's folder and environment.

    What it says on stderr goes to the file `errors`. A process that is still running when the tests
    end is killed.
    """
    with pytest.MonkeyPatch.context() as patch:
        # The server knows no other path when it imports.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    call = (dict(os.environ), errors, target, *arguments)
    process = _CONTEXT.Process(target=_call, args=call, daemon=True)
    process.start()
    return process


def call(target: Callable[..., Any], *arguments: Any) -> None:
    """Do a call in a process of its own, to its end."""
    with tempfile.NamedTemporaryFile("r") as errors:
        process = start(target, *arguments, errors=errors.name)
        process.join(240)
        assert process.exitcode == 0, errors.read()


def _call(
    environment: dict[str, str], errors: str, target: Callable[..., Any], *arguments: Any
) -> None:
    gc.freeze()  # see conftest.py
    os.environ.clear()
    os.environ.update(environment)
    sys.stderr = Path(errors).open("w", buffering=1)  # noqa: SIM115 (until the process ends)
    target(*arguments)

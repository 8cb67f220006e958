"""Processes that start at once: forked from one that has imported what takes seconds."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
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


def start(target: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start a call, sent in its pickled form, in a process with this one's folder and environment.

    One that is still running when the tests end is killed.
    """
    with pytest.MonkeyPatch.context() as patch:
        # The server knows no other path when it imports.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    process = _CONTEXT.Process(
        target=_call, args=(dict(os.environ), target, *arguments), daemon=True
    )
    process.start()
    return process


def _call(environment: dict[str, str], target: Callable[..., Any], *arguments: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)

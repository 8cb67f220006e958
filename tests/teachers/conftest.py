"""Starts the simulated endpoint of benchmarks/teacher for the tests of this folder."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "teacher" / "simulated_endpoint.py"


class Simulated:
    """One running endpoint."""

    def __init__(self, *options: str, port: int = 0) -> None:
        self.options = options
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "--port", str(port), *options], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats") as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()

    def restart(self, *options: str) -> None:
        self.__init__(*(options or self.options), port=self.port)  # type: ignore[misc]


@pytest.fixture
def simulated() -> Iterator[Callable[..., Simulated]]:
    """A function that starts an endpoint with the given command-line options; all end with the
    test."""
    started: list[Simulated] = []

    def start(*options: str) -> Simulated:
        started.append(Simulated(*options))
        return started[-1]

    yield start
    for endpoint in started:
        endpoint.stop()

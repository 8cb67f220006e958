"""A run's budget over several calls, two processes at once, a kill, and 512 requests under way."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cotdistill.model.completion_log import CompletionLog

PROGRAM = """
import sys
from pathlib import Path
from tests.teachers.fake_endpoint import ask_all
ask_all(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), tokens=int(sys.argv[4]))
"""


def test_a_budget_over_calls_processes_and_a_kill(
    simulated: Callable[..., Any], tmp_path: Path
) -> None:
    endpoint = simulated("--latency", "0.3")
    root = Path(__file__).parents[2]

    def start(count: int, tokens: int) -> subprocess.Popen[bytes]:
        arguments = [endpoint.base_url, str(tmp_path), str(count), str(tokens)]
        command = [sys.executable, "-c", PROGRAM, *arguments]
        environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def at_work() -> int:
        """How many processes have requests under way."""
        with contextlib.closing(sqlite3.connect(tmp_path / "completions.sqlite")) as database:
            query = "SELECT count(DISTINCT owner) FROM reservations"
            return int(database.execute(query).fetchone()[0])

    assert start(1, 10**6).wait(60) == 0
    with CompletionLog(tmp_path / "completions.sqlite", read_only=True) as log:
        ((*_, prompt_tokens, reply_tokens),) = log.summary()
    price = prompt_tokens + reply_tokens
    budget = 400 * price
    both = [start(10_000, budget) for _ in range(2)]
    deadline = time.monotonic() + 60
    while at_work() < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(both[0].pid, signal.SIGKILL)
    for process in both:
        process.wait(120)
    assert both[1].returncode == 1
    for _ in range(3):
        assert start(10_000, budget).wait(60) == 1
    charged = endpoint.stats()["seen"]["tokens"]
    assert budget // 2 < charged <= budget + 2 * price
    with CompletionLog(tmp_path / "completions.sqlite", read_only=True) as log:
        spent = {name: value for (role, name), value in log.read_counts().items()}
    # What the killed process had under way counts as spent; all else is what the endpoint charged.
    booked = spent["prompt_tokens"] + spent["completion_tokens"]
    assert spent["lost_tokens"] > 0
    assert booked <= charged <= booked + spent["lost_tokens"]

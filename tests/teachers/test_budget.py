"""A run's budget over several calls, two processes at once, a kill, and 512 requests under way."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cotdistill.model.completion_log import CompletionLog
from tests import forked
from tests.teachers.fake_endpoint import ask_all


def test_a_budget_over_calls_processes_and_a_kill(
    simulated: Callable[..., Any], tmp_path: Path
) -> None:
    endpoint = simulated("--latency", "0.5")

    def start(count: int, tokens: int) -> BaseProcess:
        return forked.start(ask_all, endpoint.base_url, tmp_path, count, tokens)

    def ended(process: BaseProcess) -> int | None:
        process.join(120)
        return process.exitcode

    def under_way() -> dict[int, int]:
        """Requests under way by the id of their process."""
        with contextlib.closing(sqlite3.connect(tmp_path / "completions.sqlite")) as database:
            query = "SELECT owner, count(*) FROM reservations GROUP BY owner"
            return dict(database.execute(query).fetchall())

    def id_of(process: BaseProcess) -> int:
        """The id under which a process holds its lock (from the files it has open)."""
        opened = [str(file.readlink()) for file in Path(f"/proc/{process.pid}/fd").iterdir()]
        return next((int(f.split(".")[-2], 16) for f in opened if f.endswith(".lock")), 0)

    assert ended(start(1, 10**6)) == 0
    with CompletionLog(tmp_path / "completions.sqlite", read_only=True) as log:
        ((*_, prompt_tokens, reply_tokens),) = log.summary()
    price = prompt_tokens + reply_tokens
    budget = 400 * price
    both = [start(10_000, budget) for _ in range(2)]
    deadline = time.monotonic() + 60
    while not (most := max(under_way().items(), key=lambda one: one[1], default=(0, 0)))[1] > 9:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    both.sort(key=lambda process: id_of(process) != most[0])
    both[0].kill()
    assert [ended(process) for process in both] == [-signal.SIGKILL, 1]
    for _ in range(3):
        assert ended(start(10_000, budget)) == 1
    charged = endpoint.stats()["seen"]["tokens"]
    assert budget // 2 < charged <= budget + 2 * price
    with CompletionLog(tmp_path / "completions.sqlite", read_only=True) as log:
        spent = {name: value for (role, name), value in log.read_counts().items()}
    # What the killed process had under way counts as spent; all else is what the endpoint charged.
    booked = spent["prompt_tokens"] + spent["completion_tokens"]
    assert spent["lost_tokens"] > 0
    assert booked <= charged <= booked + spent["lost_tokens"]

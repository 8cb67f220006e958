"""A clock for tests of waits."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Clock:
    """Time that passes only while code of one module sleeps; other threads keep their own.

    The module gets copies of `time` and `asyncio`: a server that another test left running in a
    thread sleeps too, and would move a clock that all share.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        self.now, self.late = 1000.0, 0.0
        changed: dict[str, dict[str, Any]] = {
            "time": {"monotonic": lambda: self.now},
            "asyncio": {"sleep": self.sleep},
        }
        for name, own in changed.items():
            copy = SimpleNamespace(**{**vars(getattr(module, name)), **own})
            monkeypatch.setattr(module, name, copy)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.late

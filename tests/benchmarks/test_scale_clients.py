"""The account of a killed worker: in flight is what it sent and had not kept when it ended."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cotdistill.model.completion_log import CompletionLog
from cotdistill.records import Completion

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "scale" / "clients.py"


@pytest.fixture
def clients() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scale_clients", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(client: int, number: int, answered: bool = True) -> dict[str, Any]:
    prompt = f"Q: How many apples are in train basket {number}?"
    return {"client": str(client), "prompt": prompt, "answered": answered}


def test_what_is_asked_again_without_need_is_told_from_what_was_in_flight(
    clients: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "completions.sqlite"
    with CompletionLog(path) as log:
        rows = [asked(0, number)["prompt"] for number in range(4)]
        log.add(
            (f"{n:064x}", "{}", f'{{"prompt": "{text}"}}', [Completion("7", 0)])
            for n, text in enumerate(rows)
        )
    # 1 is killed before any of these was kept, 2 lives on; 3 was asked twice for no reason.
    requests = [asked(1, 0), asked(1, 1, answered=False), asked(2, 0), asked(2, 1), asked(2, 2)]
    requests += [asked(2, 3), asked(2, 3)]
    seen = {"requests": requests, "left": {"1": time.time() - 60, "2": time.time() + 60}}
    monkeypatch.setattr(clients, "seen_by", lambda port: seen)
    found = clients.account(SimpleNamespace(log=path), 0, [1])
    assert found == {
        "completions": 4,
        "dead": 1,
        "in flight of these": 2,
        "of them answered, in no log": 1,
        "asked again": 3,
        "not in flight of these": 1,
    }
    seen["left"]["1"] = time.time() + 60  # all was kept before it ended
    assert clients.account(SimpleNamespace(log=path), 0, [1])["not in flight of these"] == 3

"""One small run with several systems, made once: a tiny student, a teacher with fixed replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.serving.system import System, load_system
from cotdistill.testing.tiny import tiny_checkpoint

COT = {"name": "fine_tune_cot", "student_max_tokens": 24, "label": "cot"}
SCI = {"name": "sci_cot", "rationale_max_tokens": 8, "answer_max_tokens": 6, "label": "sci"}


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("served")
    rows = [{"question": f"{n} + 1?", "answer": "7"} for n in range(40)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "custom", "path": str(folder / "questions.jsonl"), "answer": "number"}
    return {
        "name": "sums",
        "output": str(folder),
        "task": {**task, "label": "sums"},
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": {"model": str(tiny_checkpoint(folder / "base", "llama")), "label": "tiny"},
        "methods": [COT, SCI, {"name": "zero_shot", "role": "teacher", "label": "asked"}],
        "strategies": ["greedy", {"name": "self_consistency", "n": 3, "label": "voting"}],
        "evaluate_on": ["validation", "test"],
        "limit": {"train": 8, "validation": 8, "test": 8},
        "train": {"epochs": 1, "batch_size": 4, "learning_rate": 1e-2, "selection": "last"},
    }


@pytest.fixture(scope="session")
def folder(recipe: dict[str, Any]) -> Path:
    """The run folder."""
    return run_recipe(parse_recipe(recipe)).folder


@pytest.fixture(scope="session")
def system(folder: Path) -> Iterator[Callable[..., System]]:
    """Loaded systems by method and strategy, each once."""
    loaded: dict[tuple[str, str], System] = {}

    def load(method: str = "cot", strategy: str = "greedy") -> System:
        key = method, strategy
        if key not in loaded:
            loaded[key] = load_system(folder, method=method, strategy=strategy)
        return loaded[key]

    yield load
    for one in loaded.values():
        one.close()

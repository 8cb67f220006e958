"""The engine that `auto` comes to: by rule, said with its reason, and kept by the run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cotdistill.checkpoints import loading
from cotdistill.contracts import EnginePlugin, Teacher
from cotdistill.engines import auto
from cotdistill.engines.auto import choose
from cotdistill.errors import PluginError, StoreError
from cotdistill.pipeline import run_recipe
from cotdistill.plugins import build
from cotdistill.recipe import Recipe, parse_recipe
from cotdistill.records import Completion, Request
from cotdistill.runs.layout import ENGINE
from cotdistill.runs.run import Run
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import write_jsonl
from cotdistill.util.progress import SilentProgress


class Heard(SilentProgress):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


def machine(monkeypatch: pytest.MonkeyPatch, device: str, *, vllm: bool = True) -> None:
    """Have this machine look as if it had that device, and vLLM."""
    monkeypatch.setattr(loading, "pick_device", lambda _: torch.device(device))
    found = SimpleNamespace() if vllm else None
    monkeypatch.setattr(auto, "find_spec", lambda name: found)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with questions and a student."""
    rows = [{"question": f"How much is {n} + 1?", "answer": str(n + 1)} for n in range(20)]
    write_jsonl(tmp_path / "questions.jsonl", rows)
    tiny_checkpoint(tmp_path / "base", "llama")
    return tmp_path


def recipe(place: Path, **more: Any) -> Recipe:
    path = str(place / "questions.jsonl")
    data = {
        "name": "auto",
        "output": str(place),
        "task": {"name": "custom", "path": path, "answer": "number"},
        "student": str(place / "base"),
        "methods": [{"name": "zero_shot_cot", "role": "base"}],
    }
    return parse_recipe(data | more)


@pytest.mark.parametrize(
    ("device", "vllm", "settings", "name", "dtype", "why"),
    [
        ("cpu", True, {}, "transformers", "float32", "no accelerator"),
        ("mps", True, {}, "transformers", "bfloat16", "vLLM does not run on mps"),
        ("cuda", False, {}, "transformers", "bfloat16", "not installed"),
        ("cuda", True, {"rules": True}, "transformers", "bfloat16", "token rules"),
        ("cuda", True, {"models": 2}, "transformers", "bfloat16", "2 models"),
        ("cuda", True, {}, "vllm", "bfloat16", "CUDA is here"),
    ],
)
def test_the_rule(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    device: str,
    vllm: bool,
    settings: dict[str, Any],
    name: str,
    dtype: str,
    why: str,
) -> None:
    machine(monkeypatch, device, vllm=vllm)
    entry, reason = choose([tiny_checkpoint(tmp_path, "llama")], **settings)
    assert entry == {"name": name, "dtype": dtype} and why in reason
    build("engines", entry, EnginePlugin)  # its settings are the engine's


def test_vllm_is_not_taken_for_what_it_does_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, "cuda")
    for place in (None, tiny_checkpoint(tmp_path, "t5")):
        assert choose([place])[0]["name"] == "transformers"


def test_a_run_says_its_engine_once_and_keeps_it_on_another_machine(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    heard, plain = Heard(), recipe(place)
    assert plain.engine.name == "auto"  # where a recipe names none
    for _ in range(2):
        run_recipe(plain, heard)
    said = [line for line in heard.lines if line.startswith("engine:")]
    assert said == [
        "engine: transformers in float32 (auto: no accelerator here, and on a CPU it answers a "
        "batch exactly as its items)"
    ]
    machine(monkeypatch, "cuda")
    assert Run(plain).engine.name == "transformers"
    (place / "auto" / ENGINE).unlink()
    assert Run(plain).engine.name == "vllm"


def test_it_is_chosen_where_answers_are_made(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """The machine that curates may be another one, and must not load torch for it."""
    monkeypatch.setattr(loading, "pick_device", lambda _: pytest.fail("looked at this machine"))
    run_recipe(recipe(place), None, ("generate", "curate"))
    assert not (place / "auto" / ENGINE).exists()


def test_answers_of_two_choices_never_mix(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    def made_from(**more: Any) -> str:
        run = Run(recipe(place, **more))
        return run.infer_artifact(*next(iter(run.answered()))).fingerprint

    here = made_from()
    assert here == made_from(engine={"name": "transformers", "dtype": "float32"})
    machine(monkeypatch, "cuda")
    assert made_from() == made_from(engine={"name": "vllm", "dtype": "bfloat16"}) != here


def test_a_note_that_names_no_engine_is_one_line(place: Path) -> None:
    run = Run(recipe(place))
    run.folder.mkdir()
    (run.folder / ENGINE).write_text("[1]")
    with pytest.raises(StoreError, match=r"engine\.json: names no engine; delete the file"):
        _ = run.engine


def test_alone_it_answers_as_the_engine_it_comes_to(place: Path) -> None:
    entry, batch = {"name": "transformers", "dtype": "float32"}, [(Request("3 + 8?"), 0)]
    named = build("engines", entry, EnginePlugin).load(place / "base")
    found = build("engines", "auto", EnginePlugin).load(place / "base")
    assert found.identity() == named.identity()
    (answer,) = found.generate(batch)
    assert isinstance(answer, Completion) and [answer] == list(named.generate(batch))


def test_a_teacher_names_its_engine() -> None:
    entry = {"name": "local", "model": "lab-teacher", "engine": "auto"}
    with pytest.raises(PluginError, match="name the engine of a teacher"):
        build("teachers", entry, Teacher)

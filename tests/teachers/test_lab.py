"""The bundled teacher answers the lab's prompts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cotdistill.checkpoints.bundled import BUNDLED
from cotdistill.errors import UserError
from cotdistill.records import Completion, Request
from cotdistill.teachers.lab import LabTeacher

PROMPT = (
    "Q: Ana has 3 apples. Ana buys 8 more apples. How many apples does Ana have now?\n"
    "A: Let's think step by step."
)


def test_it_writes_a_rationale_and_ends_it() -> None:
    async def run() -> list[Completion]:
        model = LabTeacher().open()
        completions = await model.complete(
            Request(PROMPT, temperature=0.7, max_tokens=128), range(8)
        )
        await model.close()
        return completions

    completions = asyncio.run(run())
    assert all(c.finish_reason == "stop" for c in completions)
    assert len({c.text for c in completions}) > 2
    assert all(c.text == c.text.strip() and c.text.endswith(".") for c in completions)


def test_missing_weights_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = replace(BUNDLED["lab-teacher"], file="lab/weights/absent/model.safetensors")
    monkeypatch.setitem(BUNDLED, "lab-teacher", absent)
    with pytest.raises(UserError, match=r"^lab-teacher: [^\n]* is missing; install [^\n]*$"):
        LabTeacher().open()

"""A local checkpoint as teacher, in every family: batched, sampled, chat."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cotdistill import plugins
from cotdistill.contracts import Teacher
from cotdistill.records import Completion, Request
from cotdistill.teachers.local import LocalTeacher
from cotdistill.testing.tiny import Family, tiny_checkpoint

PROMPT = (
    "Q: Ana has 3 apples and buys 8 more. How many apples does she have now?\n"
    "A: Let's think step by step."
)


def ask(teacher: Teacher, request: Request, samples: int) -> list[Completion]:
    async def run() -> list[Completion]:
        model = teacher.open()
        completions = await model.complete(request, range(samples))
        await model.close()
        return completions

    return asyncio.run(run())


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_samples_differ_and_come_again(tmp_path: Path, family: Family) -> None:
    teacher = LocalTeacher(model=str(tiny_checkpoint(tmp_path, family)))
    request = Request(PROMPT, temperature=0.7, max_tokens=20)
    first = ask(teacher, request, 4)
    assert [c.sample_index for c in first] == [0, 1, 2, 3]
    assert len({c.text for c in first}) == 4
    assert [c.text for c in ask(teacher, request, 2)] == [c.text for c in first[:2]]
    assert all(c.prompt_tokens > 0 and c.logprob is not None for c in first)


def test_a_recipe_entry_makes_it_and_its_identity_has_no_path(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, "gpt2")
    teacher = plugins.build(
        "teachers",
        {
            "name": "local",
            "model": str(folder),
            "engine": {"name": "transformers", "batch_size": 4},
        },
        Teacher,
    )
    identity = teacher.open().identity()
    assert str(tmp_path) not in str(identity)
    assert identity["dtype"] in {"float32", "bfloat16"}


def test_chat_puts_the_prompt_through_the_template(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, "qwen2")
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", "utf-8"
    )
    plain = ask(LocalTeacher(model=str(folder)), Request("Is it?", max_tokens=4), 1)[0]
    chat = ask(LocalTeacher(model=str(folder), chat=True), Request("Is it?", max_tokens=4), 1)[0]
    assert chat.prompt_tokens > plain.prompt_tokens

"""The vllm engine against a fake `vllm` module: vLLM itself is not run by these tests, which need
no package of its own (benchmarks/student/README.md has a run of the real one).

The fake has the parts of vLLM's public interface that the engine uses and a real tokenizer, and
notes down what it is given.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import transformers

from cotdistill import plugins
from cotdistill.contracts import EnginePlugin, Teacher
from cotdistill.engines.vllm import VllmEngine
from cotdistill.errors import (
    FatalTeacherError,
    MissingExtra,
    PluginError,
    QuestionFailed,
    UserError,
)
from cotdistill.model.batcher import BatchedModel
from cotdistill.records import Completion, Message, Request
from cotdistill.students.transformers import TransformersStudent
from cotdistill.teachers.local import LocalTeacher
from cotdistill.testing.tiny import Family, tiny_checkpoint

PROMPT = (
    "Q: Ana has 3 apples and buys 8 more. How many apples does she have now?\n"
    "A: Let's think step by step."
)
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if "
    "add_generation_prompt %}<assistant>{% endif %}"
)


@dataclass
class Fake:
    """What a fake engine was made with and asked, and what it answers: `reply` to every request."""

    reply: str = " 3 + 8 = 11."
    finish_reason: str | None = "stop"
    cached: int | None = 0
    made_with: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[list[str], list[dict[str, Any]]]] = field(default_factory=list)
    tokenizer: Any = None
    process: BaseProcess | None = None
    """Where given, what answers: killed, it leaves a call waiting for ever, as vLLM's does."""

    def module(self) -> ModuleType:
        fake = self

        class LLM:
            def __init__(self, **settings: Any) -> None:
                if settings["model"] == "too-large":
                    raise RuntimeError("CUDA out of memory.\nTraceback follows")
                fake.made_with = settings
                fake.tokenizer = transformers.AutoTokenizer.from_pretrained(settings["model"])
                limit = settings["max_model_len"] or 512
                config = SimpleNamespace(
                    max_model_len=limit, hf_config=SimpleNamespace(_commit_hash="c0ffee")
                )
                self.llm_engine = SimpleNamespace(model_config=config)
                if fake.process is not None:
                    fake.process.start()

            def get_tokenizer(self) -> Any:
                return fake.tokenizer

            def generate(
                self, prompts: list[Any], sampling_params: list[Any], use_tqdm: bool
            ) -> list[Any]:
                assert not use_tqdm
                if fake.process is not None:
                    fake.process.kill()
                    threading.Event().wait()
                ids = [prompt["prompt_token_ids"] for prompt in prompts]
                fake.calls.append(
                    (
                        [fake.tokenizer.decode(one) for one in ids],
                        [vars(s) for s in sampling_params],
                    )
                )
                made = {"text": fake.reply, "token_ids": [1, 2, 3, 4], "cumulative_logprob": -2.0}
                output = SimpleNamespace(**made, finish_reason=fake.finish_reason)
                return [
                    SimpleNamespace(
                        outputs=[output], prompt_token_ids=one, num_cached_tokens=fake.cached
                    )
                    for one in ids
                ]

        module = ModuleType("vllm")
        module.LLM, module.SamplingParams = LLM, SimpleNamespace  # type: ignore[attr-defined]
        return module


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setitem(sys.modules, "vllm", made.module())
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "")
    return made


def vllm(model: str, *, chat: bool = False, **settings: Any) -> LocalTeacher:
    return LocalTeacher(model=model, chat=chat, engine={"name": "vllm", **settings})


def ask(teacher: Teacher, *requests: Request, samples: int = 1) -> list[list[Completion]]:
    async def run() -> list[list[Completion]]:
        model = teacher.open()
        try:
            return await asyncio.gather(
                *(model.complete(request, range(samples)) for request in requests)
            )
        finally:
            await model.close()

    return asyncio.run(run())


def chat_checkpoint(folder: Path, family: Family = "qwen2") -> str:
    made = tiny_checkpoint(folder, family)
    (made / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    return str(made)


def test_what_is_asked_at_once_is_one_batch_with_the_sampling_of_each(
    fake: Fake, tmp_path: Path
) -> None:
    teacher = vllm(str(tiny_checkpoint(tmp_path, "gpt2")))
    first = Request(PROMPT, temperature=0.7, top_p=0.9, max_tokens=20, stop=("\n\n", "Q:"))
    second = Request("Q: Is it?", max_tokens=5)
    completions, _ = ask(teacher, first, second, samples=2)
    ((prompts, sampling),) = fake.calls
    assert prompts == [PROMPT, PROMPT, "Q: Is it?", "Q: Is it?"]
    known = [{k: v for k, v in one.items() if k != "seed"} for one in sampling]
    expected = {
        "n": 1,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 20,
        "stop": ["\n\n", "Q:"],
        "logprobs": 0,
    }
    assert known[0] == known[1] == expected
    assert known[2] == {
        "n": 1,
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 5,
        "stop": [],
        "logprobs": 0,
    }
    prompt_tokens = len(fake.tokenizer(PROMPT)["input_ids"])
    assert completions == [
        Completion(
            "3 + 8 = 11.", index, prompt_tokens=prompt_tokens, completion_tokens=4, logprob=-0.5
        )
        for index in range(2)
    ]


def test_a_sample_has_the_same_seed_however_many_are_asked_for(fake: Fake, tmp_path: Path) -> None:
    folder = str(tiny_checkpoint(tmp_path, "gpt2"))
    ask(vllm(folder), Request(PROMPT), samples=4)
    ask(vllm(folder), Request("Q: other"), Request(PROMPT), samples=2)
    ask(vllm(folder, seed=1), Request(PROMPT), samples=2)
    four, two, other = ([one["seed"] for one in sampling] for _, sampling in fake.calls)
    assert two[2:] == four[:2]
    assert len({*four, *two, *other}) == 4 + 2 + 2
    assert all(0 <= seed < 2**31 for seed in four)


@pytest.mark.parametrize(
    ("prefill", "reply", "sent", "expected"),
    [
        ("", " 3 + 8", PROMPT, "3 + 8"),
        ("First,", " 3 + 8", PROMPT + " First,", "First, 3 + 8"),
        ("First, ", " 3 + 8", PROMPT + " First,", "First, 3 + 8"),
        ("First, ", "3 + 8", PROMPT + " First,", "First, 3 + 8"),
        (" ", "3", PROMPT + "  ", " 3"),
    ],
)
def test_the_text_starts_with_begin(
    fake: Fake, tmp_path: Path, prefill: str, reply: str, sent: str, expected: str
) -> None:
    fake.reply = reply
    ((completion,),) = ask(
        vllm(str(tiny_checkpoint(tmp_path, "gpt2"))), Request(PROMPT, prefill=prefill)
    )
    assert fake.calls[0][0] == [sent]
    assert completion.text == expected


@pytest.mark.parametrize(
    ("chat", "prompt", "sent"),
    [
        (False, "Is it?", "Is it?"),
        (True, "Is it?", "<user>Is it?<assistant>"),
        (
            True,
            (Message("system", "Be brief."), Message("user", "Is it?")),
            "<system>Be brief.<user>Is it?<assistant>",
        ),
    ],
)
def test_chat_puts_the_prompt_through_the_template(
    fake: Fake, tmp_path: Path, chat: bool, prompt: Any, sent: str
) -> None:
    fake.reply = " yes"
    ((completion,),) = ask(vllm(chat_checkpoint(tmp_path), chat=chat), Request(prompt))
    assert fake.calls[0][0] == [sent]
    assert completion.text == (" yes" if chat else "yes")


def test_special_tokens_come_once(fake: Fake, tmp_path: Path) -> None:
    folder = chat_checkpoint(tmp_path, "llama")
    for chat in (False, True):
        ask(vllm(folder, chat=chat), Request("Is it?"))
    plain, chatted = (prompts[0] for prompts, _ in fake.calls)
    assert plain.count(fake.tokenizer.bos_token) == 1
    assert chatted.count(fake.tokenizer.bos_token) == 0  # a template writes its own


def test_a_cut_off_reply_and_a_shared_prompt_are_told(fake: Fake, tmp_path: Path) -> None:
    fake.finish_reason, fake.cached = "length", 16
    ((completion,),) = ask(vllm(str(tiny_checkpoint(tmp_path, "gpt2"))), Request(PROMPT))
    assert completion.finish_reason == "length"
    assert completion.cached_prompt_tokens == 16


def test_a_prompt_that_is_too_long_fails_alone(fake: Fake, tmp_path: Path) -> None:
    async def run() -> list[Any]:
        model = vllm(str(tiny_checkpoint(tmp_path, "gpt2")), max_model_len=24).open()
        short, long = Request("Q: Is it?"), Request(PROMPT * 3)
        results = await asyncio.gather(
            *(model.complete(request, [0]) for request in (short, long, short)),
            return_exceptions=True,
        )
        await model.close()
        return results

    first, failed, last = asyncio.run(run())
    assert isinstance(failed, QuestionFailed) and failed.reason == "prompt too long"
    assert [first[0].text, last[0].text] == ["3 + 8 = 11."] * 2


def test_the_engine_is_told_what_the_recipe_says_and_nothing_unsafe(
    fake: Fake, tmp_path: Path
) -> None:
    folder = tiny_checkpoint(tmp_path, "gpt2")
    entry = {
        "name": "local",
        "model": str(folder),
        "engine": {
            "name": "vllm",
            "tensor_parallel_size": 2,
            "engine_args": {"quantization": "fp8"},
        },
    }
    identity = plugins.build("teachers", entry, Teacher).open().identity()
    assert fake.made_with == {
        "model": str(folder),
        "revision": None,
        "dtype": "auto",
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.9,
        "max_model_len": None,
        "load_format": "safetensors",
        "trust_remote_code": False,
        "quantization": "fp8",
    }
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    assert identity["engine"] == "vllm" and identity["engine_args"] == {"quantization": "fp8"}
    assert str(tmp_path) not in str(identity)


def test_it_goes_through_the_batcher(fake: Fake, tmp_path: Path) -> None:
    assert isinstance(vllm(str(tiny_checkpoint(tmp_path, "gpt2"))).open(), BatchedModel)


def test_without_vllm_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(
        MissingExtra,
        match=r"^engine vllm needs vLLM and a GPU: pip install 'cotdistill\[vllm\]' [^\n]*$",
    ):
        vllm("m").open()


def test_a_checkpoint_that_cannot_be_loaded_is_one_line(fake: Fake) -> None:
    with pytest.raises(
        UserError, match=r"^engine vllm: cannot load too-large: CUDA out of memory\.$"
    ):
        vllm("too-large").open()


def test_words_that_vllm_would_cut_otherwise(fake: Fake, tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "model", "llama")
    config = checkpoint / "config.json"
    config.write_text(config.read_text().replace('"model_type": "llama"', '"model_type": "qwen2"'))
    with pytest.raises(UserError, match=r"cuts words otherwise than tokenizer\.json"):
        VllmEngine().load(checkpoint)


def test_a_process_that_is_killed_ends_the_call_with_a_line(fake: Fake, tmp_path: Path) -> None:
    fake.process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    engine = VllmEngine().load(tiny_checkpoint(tmp_path, "gpt2"))
    with pytest.raises(FatalTeacherError, match=r"^engine vllm: a process of vLLM has ended"):
        engine.generate([(Request("Is it?"), 0)])


def test_arguments_that_are_not_the_users_are_refused() -> None:
    with pytest.raises(PluginError, match="trust_remote_code"):
        plugins.build(
            "engines", {"name": "vllm", "engine_args": {"trust_remote_code": True}}, EnginePlugin
        )


def test_students_are_answered_by_it_in_their_own_format(fake: Fake, tmp_path: Path) -> None:
    folder = chat_checkpoint(tmp_path / "chat", "llama")
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    random = {"config": {"model_type": "llama", **sizes}, "tokenizer": folder}
    for settings, sent in (
        ({"model": folder}, "<s>Is it? ###"),
        ({"model": folder, "format": "chat"}, "<user>Is it?<assistant>"),
    ):
        engine = TransformersStudent(**settings).engine(Path(folder), VllmEngine())
        fake.reply = " It is."
        (completion,) = engine.generate([(Request("Is it?"), 0)])
        assert fake.calls[-1][0] == [sent]
        assert completion.text == (" It is." if "format" in settings else "It is.")
    base = TransformersStudent(**random).engine(None, VllmEngine(), seed=1)
    base.generate([(Request("Is it?"), 0)])
    assert fake.calls[-1][0] == ["<s>Is it?"]

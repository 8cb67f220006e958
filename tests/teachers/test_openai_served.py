"""The `openai` teacher against a real server that is not ours: `transformers serve` with a model on
loopback."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cotdistill.checkpoints.bundled import locate
from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.errors import QuestionFailed, TeacherError
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.records import Completion, Message, Question, Rationale, Request
from cotdistill.stages.generate import generate_rationales
from cotdistill.teachers.openai import OpenAI

PROMPTS = [
    (
        "Q: Ana has 3 apples and buys 8 more. How many apples does she have now?\n"
        "A: Let's think step by step."
    ),
    (
        "Q: A coin is heads up. Ben flips the coin. Is the coin still heads up?\n"
        "A: Let's think step by step."
    ),
]


@dataclass(frozen=True)
class Served:
    base_url: str
    model: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`transformers serve` with the lab teacher; what it says goes to a file."""
    folder = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(locate("lab-teacher"), folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("transformers"))
    command = [program, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (folder.parent / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--device", "cpu", "--dtype", "float32"],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server)
            yield Served(f"http://127.0.0.1:{port}/v1", str(folder))
        finally:
            server.kill()
            server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert server.poll() is None, (
            "transformers serve ended at once; is transformers[serving] installed?"
        )
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{url} did not come up")


def complete(teacher: OpenAI, request: Request, samples: int = 1) -> list[Completion]:
    async def main() -> list[Completion]:
        model = teacher.open()
        try:
            return await model.complete(request, range(samples))
        finally:
            await model.close()

    return asyncio.run(main())


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_greedy_text_is_what_the_model_says_at_home(served: Served, api: str, prompt: str) -> None:
    request = Request(prompt, max_tokens=24)
    teacher = OpenAI(model=served.model, base_url=served.base_url, api=api)
    (away,) = complete(teacher, request)
    engine = TransformersEngine(device="cpu", dtype="float32").load(served.model)
    at_home = replace(request, prompt=(Message("user", prompt),)) if api == "chat" else request
    (home,) = engine.generate([(at_home, 0)])
    assert away.text.strip() == home.text.strip()
    assert away.text.strip()
    assert away.prompt_tokens > 5
    assert 0 < away.completion_tokens <= 24


def test_samples_come_one_call_each_where_the_server_gives_one_choice(served: Served) -> None:
    teacher = OpenAI(model=served.model, base_url=served.base_url)
    completions = complete(teacher, Request(PROMPTS[0], temperature=0.8, max_tokens=6), samples=3)
    assert [completion.sample_index for completion in completions] == [0, 1, 2]


def test_begin_on_both_apis(served: Served) -> None:
    for settings in ({"api": "completions"}, {"api": "chat"}):
        teacher = OpenAI(model=served.model, base_url=served.base_url, **settings)
        (completion,) = complete(teacher, Request(PROMPTS[0], prefill=" Ana starts", max_tokens=6))
        assert completion.text.startswith(" Ana starts")


def test_errors_of_the_server_say_what_to_do(served: Served) -> None:
    with pytest.raises(QuestionFailed, match=r"HTTP 400: .*pinned to"):
        complete(OpenAI(model="/no/such", base_url=served.base_url), Request("Q"))
    with pytest.raises(QuestionFailed, match=r"HTTP 422: .*top_kk"):
        complete(
            OpenAI(model=served.model, base_url=served.base_url, extra_body={"top_kk": 1}),
            Request("Q"),
        )
    with pytest.raises(TeacherError, match=r"HTTP 404: .*check `base_url`"):
        complete(OpenAI(model=served.model, base_url=served.base_url + "/v2"), Request("Q"))


class OneCall(Method):
    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        (completion,) = await ask(f"Q: {question.text}\nA: Let's think step by step.", max_tokens=5)
        return [Rationale(question.id, completion.text, None, keys=(completion.key,))]


def test_a_generation_through_the_log_asks_nothing_twice(served: Served, tmp_path: Path) -> None:
    async def main() -> int:
        teacher = OpenAI(model=served.model, base_url=served.base_url, max_concurrency=4)
        questions = (Question(str(n), f"Ana has {n} apples. How many?") for n in range(8))
        with CompletionLog(tmp_path / "completions.sqlite") as log:
            async with ModelClient({"teacher": teacher.open()}, log) as ask:
                counts = await generate_rationales(
                    questions, OneCall(), ask, AnswerType(), tmp_path / "r.jsonl"
                )
                assert counts.rationales == 8
                return ask.ledger.events["requests"]

    assert asyncio.run(main()) == 8
    assert asyncio.run(main()) == 0

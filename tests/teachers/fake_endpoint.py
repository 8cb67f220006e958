"""A fake endpoint inside the test's own event loop: its reply is a function of the request."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.errors import CotdistillError
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget, Ledger
from cotdistill.records import Question, Rationale
from cotdistill.stages.generate import GenerateCounts, generate_rationales
from cotdistill.teachers.openai import OpenAI
from cotdistill.util.concurrency import run_async

USAGE = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}


@dataclass
class Call:
    """One request as the endpoint sees it."""

    prompt: str
    n: int
    body: dict[str, Any]
    headers: dict[str, str]
    path: str
    text: str


Reply = web.Response | dict[str, Any] | None
"""A whole response, the JSON of one, or None for a good one."""


@dataclass
class Fake:
    """What it was asked and what it charged for."""

    behave: Callable[[Call], Reply]
    calls: list[Call] = field(default_factory=list)
    charged_tokens: int = 0
    port: int = 0
    base_url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        asks = request.path.endswith("/completions")
        body = json.loads(text) if asks else {"messages": ()}
        prompt = "\n".join(message["content"] for message in body["messages"])
        path = request.path_qs
        call = Call(prompt, body.get("n", 1), body, dict(request.headers), path, text)
        self.calls.append(call)
        reply = self.behave(call)
        if isinstance(reply, web.Response):
            return reply
        reply = reply or good(call)
        if isinstance(reply.get("usage"), dict):
            self.charged_tokens += reply["usage"]["total_tokens"]
        return web.json_response(reply)


def choice(text: Any, index: int = 0, finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **more}
    return {"index": index, "finish_reason": finish_reason, "message": message}


def reply(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": list(choices), "usage": USAGE, **more}


def good(call: Call) -> dict[str, Any]:
    """As many choices as were asked for, each with its rationale."""
    return reply(*(choice(f"Way {n}: 3 + 8 = 11. The answer is 11.", n) for n in range(call.n)))


@asynccontextmanager
async def serving(behave: Callable[[Call], Reply], port: int = 0) -> AsyncIterator[Fake]:
    fake = Fake(behave)
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    fake.port = runner.addresses[0][1]
    fake.base_url = f"http://127.0.0.1:{fake.port}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()


class OneCall(Method):
    """Asks for rationales in one call."""

    samples: int = 1
    max_tokens: int = 20

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        completions = await ask(
            question.text, samples=self.samples, temperature=0.7, max_tokens=self.max_tokens
        )
        return [
            Rationale(question.id, one.rationale, "11", one.sample_index) for one in completions
        ]


@dataclass
class Outcome:
    fake: Fake
    counts: GenerateCounts
    rows: list[dict[str, Any]]
    ledger: Ledger
    error: Exception | None = None


def generate(
    behave: Callable[[Call], Reply],
    folder: Path,
    *,
    count: int = 12,
    samples: int = 1,
    budget: Budget | None = None,
    path: str = "",
    port: int = 0,
    method: Method | None = None,
    **settings: Any,
) -> Outcome:
    """Ask about `count` questions, one of which is SENSITIVE, through the log in `folder`."""

    async def main() -> Outcome:
        async with serving(behave, port) as fake:
            url = fake.base_url + path
            teacher = OpenAI(model="m", base_url=url, **{"max_concurrency": 16, **settings})
            questions = [
                Question(f"q/{n}", f"Question {n}{' SENSITIVE' if n == 6 else ''}: 3 + 8?")
                for n in range(count)
            ]
            out, error, counts = folder / "rationales.jsonl", None, GenerateCounts()
            with CompletionLog(folder / "completions.sqlite") as log:
                async with ModelClient({"teacher": teacher.open()}, log, budget=budget) as ask:
                    try:
                        counts = await generate_rationales(
                            questions, method or OneCall(samples=samples), ask, Number(), out
                        )
                    except CotdistillError as stopped:
                        error = stopped
            rows = [json.loads(line) for line in out.read_text().splitlines()] if not error else []
            return Outcome(fake, counts, rows, ask.ledger, error)

    return run_async(main())


def ask_all(base_url: str, folder: Path, count: int, tokens: int) -> None:
    """Ask about `count` questions with a budget, 512 at a time; exit status 1 where it is spent."""

    async def main() -> None:
        teacher = OpenAI(model="m", base_url=base_url, max_concurrency=512)
        questions = (Question(f"q/{n}", f"number {n}") for n in range(count))
        with CompletionLog(folder / "completions.sqlite") as log:
            budget = Budget(tokens=tokens)
            async with ModelClient({"teacher": teacher.open()}, log, budget=budget) as ask:
                out = folder / f"{os.getpid()}.jsonl"
                await generate_rationales(questions, OneCall(max_tokens=256), ask, Number(), out)

    run_async(main())

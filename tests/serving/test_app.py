"""The server as the official `openai` client and rougher clients meet it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from cotdistill.errors import BudgetSpent, QuestionFailed
from cotdistill.records import Answer
from cotdistill.runs.run import open_run
from cotdistill.serving.app import ServerSettings, listen, make_server
from cotdistill.serving.asks import Sampling
from cotdistill.serving.system import Reply, System

Load = Callable[..., System]


@contextmanager
def serving(system: Any, **settings: Any) -> Iterator[int]:
    """Serve on a free port, which is yielded."""
    server = make_server(system, ServerSettings("sums", **settings))
    place = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
    thread.start()
    try:
        yield place.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        place.close()


@pytest.fixture(scope="session")
def port(system: Load) -> Iterator[int]:
    with serving(system(), largest_body=20_000, longest_question=2_000) as port:
        yield port


def client(port: int, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0)


def asked(port: int, text: str = "3 + 1?", **parameters: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    with client(port) as one:
        made = one.chat.completions.create(**{"model": "sums", "messages": messages} | parameters)
        return list(made) if parameters.get("stream") else made


def post(port: int, body: Any, path: str = "/v1/chat/completions", **headers: str) -> Any:
    """Return status, headers and JSON of a POST of any body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, data, headers)
    response = connection.getresponse()
    told = response.status, dict(response.headers), json.loads(response.read())
    connection.close()
    return told


def test_the_official_client_gets_the_runs_answers(port: int, folder: Path) -> None:
    rows = [
        row
        for row in open_run(folder).answers()
        if (row["method"], row["strategy"], row["split"]) == ("cot", "greedy", "test")
    ]

    async def ask_all() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k") as one:
            create: Any = one.chat.completions.create
            wanted = (
                create(model="sums", messages=[{"role": "user", "content": row["question"]}])
                for row in rows * 4
            )
            return await asyncio.gather(*wanted)

    for row, told in zip(rows * 4, asyncio.run(ask_all()), strict=True):
        (choice,) = told.choices
        assert choice.message.reasoning_content == row["text"]
        assert choice.message.content == (row["answer"] or "")
        spent = told.usage.prompt_tokens, told.usage.completion_tokens
        assert spent == (row["prompt_tokens"], row["completion_tokens"])


def test_a_stream_has_reasoning_then_answer_then_usage(port: int) -> None:
    whole = asked(port)
    chunks = asked(port, stream=True, stream_options={"include_usage": True})
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert reasoning == whole.choices[0].message.reasoning_content
    assert "".join(d.content or "" for d in deltas) == whole.choices[0].message.content
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert ends[-1] == whole.choices[0].finish_reason and set(ends[:-1]) == {None}
    assert deltas[0].role == "assistant" and chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_parameters_are_honoured(port: int) -> None:
    def texts(**parameters: Any) -> list[str]:
        return [c.message.reasoning_content for c in asked(port, **parameters).choices]

    two = texts(n=2, temperature=2.0, seed=5)
    assert len(set(two)) == 2 and two == texts(n=2, temperature=2.0, seed=5)
    assert len({text for _ in range(3) for text in texts(temperature=2.0)}) > 1
    (cut,) = asked(port, max_completion_tokens=3).choices
    assert cut.finish_reason == "length"
    (plain,) = texts()
    assert texts(stop=[plain[5:8]]) == [plain[: plain.index(plain[5:8])]]
    assert texts(user="ana", frequency_penalty=0, tools=[]) == [plain]


REFUSED = [
    ({"temperature": 3}, "temperature", None),
    ({"temperature": "hot"}, "temperature", None),
    ({"n": 0}, "n", None),
    ({"logprobs": True}, "logprobs", "unsupported_parameter"),
    ({"tools": [{}]}, "tools", "unsupported_parameter"),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ({"logit_biass": {}}, "logit_biass", "unsupported_parameter"),
    ({"messages": []}, "messages", None),
    ({"messages": [{"role": "assistant", "content": "3 + 1?"}]}, "messages", None),
    ({"messages": [{"role": "user", "content": " "}]}, "messages", None),
    (
        {"messages": [{"role": "user", "content": "a" * 2_001}]},
        "messages",
        "context_length_exceeded",
    ),
    (
        {"messages": [{"role": "user", "content": "a 1" * 600}]},
        "messages",
        "context_length_exceeded",
    ),
]


@pytest.mark.parametrize(("changed", "param", "code"), REFUSED)
def test_what_cannot_be_done_is_refused(
    port: int, changed: dict[str, Any], param: str, code: str | None
) -> None:
    body = {"model": "sums", "messages": [{"role": "user", "content": "3 + 1?"}], **changed}
    status, _, told = post(port, body)
    assert status == 400 and told["error"]["param"] == param and told["error"]["code"] == code
    assert told["error"]["type"] == "invalid_request_error"
    assert post(port, {**body, "stream": True})[0] == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"model": "sums", "messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        (b"[" * 10_000, 400),
        (b"\xff", 400),
        (b" " * 20_001, 413),
        (b'{"model": "other", "messages": [{"role": "user", "content": "1?"}]}', 404),
    ],
)
def test_malformed_and_oversized_bodies(port: int, body: bytes, status: int) -> None:
    found, _, told = post(port, body)
    assert found == status and told["error"]["message"]
    assert post(port, body, path="/v1/nothing")[0] == 404


def test_the_strategys_own_settings_stay(system: Load) -> None:
    with serving(system(strategy="voting")) as port:
        told = asked(port).to_dict()
        assert len(told["cotdistill"]["choices"][0]["votes"]) == 3
        with pytest.raises(openai.BadRequestError, match="this system's strategy sets its own"):
            asked(port, temperature=0.7)
        chunks = asked(port, stream=True)
        text = "".join(getattr(c.choices[0].delta, "reasoning_content", "") for c in chunks)
        assert text == told["choices"][0]["message"]["reasoning_content"]


def test_earlier_messages_are_counted_and_not_read(port: int) -> None:
    history: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2", "reasoning_content": "…"},
        {"role": "user", "content": [{"type": "text", "text": "3 + 1?"}]},
    ]
    told = asked(port, messages=history).to_dict()
    assert told["cotdistill"]["unread_messages"] == 3
    assert told["choices"] == asked(port).to_dict()["choices"]


def test_models_health_and_metrics(port: int) -> None:
    with client(port) as one:
        (model,) = one.models.list().data
    assert model.id == "sums" and model.to_dict()["cotdistill"]["method"] == "cot"
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/health")
    assert json.loads(connection.getresponse().read()) == {"status": "ok"}
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    connection.close()
    assert 'cotdistill_requests_total{status="200"}' in page
    assert 'cotdistill_tokens_total{kind="completion",role="student"}' in page
    assert "cotdistill_in_flight 0.0" in page and "cotdistill_request_seconds_bucket" in page


def test_a_key_is_asked_for(system: Load) -> None:
    with serving(system(), api_key="geheim ü") as port:
        for key in ("", "wrong"):
            assert post(port, {}, Authorization=f"Bearer {key}")[0] == 401
        assert post(port, {}, Authorization="Bearer geheim ü".encode().decode("latin-1"))[0] == 400


class Slow:
    """A system that answers when it is told to, and fails as the question says."""

    def __init__(self, system: System) -> None:
        self.chosen = system.chosen
        self.asked, self.go = threading.Semaphore(0), threading.Event()
        self.cancelled = threading.Semaphore(0)

    async def reply(self, question: str, sampling: Sampling, on_text: Any = None) -> Reply:
        failures = {"failed": QuestionFailed("away", "server error"), "spent": BudgetSpent("no $")}
        if question in failures:
            raise failures[question]
        if question == "broken":
            raise ZeroDivisionError
        self.asked.release()
        try:
            if on_text is not None and question != "silent":
                on_text("begun")
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return Reply(Answer("asked", "7", "so 7"))


@pytest.mark.parametrize(("stream", "question"), [(False, "1?"), (True, "1?"), (True, "silent")])
def test_too_many_wait_and_who_goes_away_is_cancelled(
    system: Load, stream: bool, question: str
) -> None:
    slow = Slow(system())
    body = {"model": "sums", "stream": stream, "messages": [{"role": "user", "content": question}]}
    with serving(slow, most_waiting=2) as port:
        waiting = []
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            waiting.append(connection)
            assert slow.asked.acquire(timeout=30)
        status, headers, told = post(port, body)
        assert status == 429 and int(headers["retry-after"]) >= 1
        assert told["error"]["code"] == "rate_limit_exceeded"
        assert post(port, {**body, "stream": False, "n": 2})[0] == 429
        waiting[0].sock.shutdown(socket.SHUT_RDWR)
        assert slow.cancelled.acquire(timeout=30)
        slow.go.set()
        assert "so 7" in waiting[1].getresponse().read().decode() or stream
        assert post(port, {**body, "stream": False})[0] == 200
        for connection in waiting:
            connection.close()


@pytest.mark.parametrize(
    ("question", "status", "code"),
    [("failed", 502, "model_failed"), ("spent", 503, "budget_spent"), ("broken", 500, None)],
)
def test_failures_behind_the_server(system: Load, question: str, status: int, code: str) -> None:
    with serving(Slow(system())) as port:
        body = {"model": "sums", "messages": [{"role": "user", "content": question}]}
        for stream in (False, True):
            found, _, told = post(port, {**body, "stream": stream})
            assert (found, told["error"]["code"]) == (status, code)


def test_slow_clients_are_refused(system: Load) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
    with serving(Slow(system()), read_timeout=0.1, answer_timeout=0.1) as port:
        for sent in (b"", b"POST /v1", head, head + b"Content-Length: 9\r\n\r\n{"):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
                one.sendall(sent)
                assert b"408 Request Timeout" in (told := one.makefile("rb").read())
                assert json.loads(told.partition(b"\r\n\r\n")[2])["error"]
        body = {"model": "sums", "messages": [{"role": "user", "content": "1?"}]}
        assert post(port, body)[0] == 504

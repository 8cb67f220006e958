"""The client for OpenAI-compatible endpoints against the simulated endpoint: replies, limits,
faults, outages, secrets."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.contracts import AnswerType, Ask, Method, Teacher
from cotdistill.errors import BudgetSpent, FatalTeacherError, QuestionFailed, StoreError, UserError
from cotdistill.model.client import ModelClient
from cotdistill.model.completion_log import (
    CompletionLog,
    canonical_json,
    request_json,
    request_key,
)
from cotdistill.model.ledger import Budget, Ledger
from cotdistill.plugins import build
from cotdistill.records import Completion, Message, Question, Rationale, Request
from cotdistill.stages.generate import GenerateCounts, generate_rationales
from cotdistill.teachers.openai import OpenAI
from cotdistill.util.concurrency import run_async

Start = Callable[..., Any]


class OneCall(Method):
    """Asks for one rationale."""

    samples: int = 1

    async def annotate(
        self, question: Question, ask: Ask, answer_type: AnswerType
    ) -> list[Rationale]:
        completions = await ask(f"Q: {question.text}\nA:", samples=self.samples, temperature=0.7)
        return [
            Rationale(question.id, c.text, "1", c.sample_index, keys=(c.key,)) for c in completions
        ]


def complete(
    teacher: OpenAI, request: Request, samples: int = 1
) -> tuple[list[Completion], Ledger]:
    async def main() -> tuple[list[Completion], Ledger]:
        ledger = Ledger()
        async with ModelClient({"teacher": teacher.open()}, ledger=ledger) as ask:
            made = await ask(
                request.prompt,
                samples=samples,
                max_tokens=request.max_tokens,
                stop=request.stop,
                prefill=request.prefill,
            )
        return made, ledger

    return run_async(main())


def generate(
    teacher: OpenAI,
    folder: Path,
    count: int,
    budget: Budget | None = None,
    samples: int = 1,
    max_concurrency: int = 64,
) -> tuple[GenerateCounts, Ledger]:
    async def main() -> tuple[GenerateCounts, Ledger]:
        questions = (Question(f"q/{n}", f"number {n}") for n in range(count))
        with CompletionLog(folder / "completions.sqlite") as log:
            async with ModelClient({"teacher": teacher.open()}, log, budget=budget) as ask:
                try:
                    counts = await generate_rationales(
                        questions,
                        OneCall(samples=samples),
                        ask,
                        AnswerType(),
                        folder / "rationales.jsonl",
                        max_concurrency=max_concurrency,
                    )
                finally:
                    ask.ledger.write(folder / "ledger.json")
                return counts, ask.ledger

    return run_async(main())


def teacher(endpoint: Any, **settings: Any) -> OpenAI:
    plugin = build(
        "teachers",
        {"name": "openai", "model": "m", "base_url": endpoint.base_url, **settings},
        Teacher,
    )
    assert isinstance(plugin, OpenAI)
    return plugin


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_reply_with_its_tokens(simulated: Start, api: str) -> None:
    (completion,), ledger = complete(
        teacher(simulated("--latency", "0"), api=api), Request("Q: one\nA:")
    )
    assert completion.text.startswith(" This is ")
    assert completion.finish_reason == "stop"
    assert completion.prompt_tokens == 2
    assert completion.completion_tokens > 50
    assert ledger.events == {"requests": 1}


def test_a_proxy_of_the_environment_is_asked(
    simulated: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = simulated("--latency", "0")
    monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (completion,), _ = complete(
        OpenAI(model="m", base_url="http://teacher.invalid/v1"), Request("Q: one\nA:")
    )
    assert completion.text.startswith(" This is ")


def test_eight_samples_in_one_call_pay_the_prompt_once(simulated: Start) -> None:
    endpoint = simulated("--latency", "0")
    completions, ledger = complete(teacher(endpoint), Request("Q: one\nA:"), samples=8)
    assert [c.sample_index for c in completions] == list(range(8))
    assert len({c.text for c in completions}) == 8
    assert endpoint.stats()["seen"]["requests"] == 1
    spent = ledger.to_json()["roles"]["teacher"]
    assert spent["prompt_tokens"] == 2
    assert spent["completion_tokens"] == 8 * (spent["completion_tokens"] // 8)


def test_an_endpoint_that_gives_one_choice_is_asked_once_for_each(simulated: Start) -> None:
    endpoint = simulated("--latency", "0", "--most-choices", "1")
    completions, _ = complete(teacher(endpoint), Request("Q: one\nA:"), samples=8)
    assert [c.sample_index for c in completions] == list(range(8))
    assert endpoint.stats()["seen"]["requests"] == 8


def test_begin_is_part_of_the_text_however_it_is_sent(simulated: Start) -> None:
    endpoint = simulated("--latency", "0")
    request = Request("Q: one\nA:", prefill=" First, add.")
    for settings in ({"api": "completions"}, {"prefill": True}, {}):
        (completion,), _ = complete(teacher(endpoint, **settings), request)
        assert completion.text.startswith(" First, add. This is "), settings


def test_stop_strings_are_cut_off_even_where_the_endpoint_ignores_them(simulated: Start) -> None:
    (completion,), _ = complete(
        teacher(simulated("--latency", "0")), Request("Q", stop=("First", "Check"))
    )
    assert completion.text.endswith(". ")
    assert "First" not in completion.text


def test_chat_prompts_need_the_chat_api(simulated: Start) -> None:
    endpoint = simulated("--latency", "0")
    request = Request((Message("system", "Be brief."), Message("user", "Q")))
    assert complete(teacher(endpoint, system="More."), request)[0]
    with pytest.raises(UserError, match="api: chat"):
        complete(teacher(endpoint, api="completions"), request)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url: 'localhost:8000' is no address"),
        ({"base_url": "http://key@localhost/v1"}, "a key does not belong into the address"),
        ({"extra_body": {"n": 4}}, "'n' has a setting"),
        ({"retrys": 3}, "did you mean 'retries'"),
        ({"max_concurrency": 0}, "max_concurrency"),
    ],
)
def test_settings_are_checked_before_anything_is_asked(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build("teachers", {"name": "openai", "model": "m", **settings}, Teacher)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named_unless_the_endpoint_is_local(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="set the environment variable OPENAI_API_KEY"):
        OpenAI(model="m").open()
    assert OpenAI(model="m", base_url="http://localhost:8000/v1").open()


@pytest.mark.parametrize("key", ["sk-one\nHost: elsewhere", "sk-\u2026"])
def test_what_is_no_key_is_not_sent(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY has characters that no key has") as caught:
        OpenAI(model="m").open()
    assert "sk-" not in str(caught.value)


def test_anything_that_determines_a_reply_changes_the_key() -> None:
    first = {"model": "m", "base_url": "http://localhost/v1"}
    changes: list[dict[str, Any]] = [
        {"model": "n"},
        {"base_url": "http://localhost/v2"},
        {"api": "completions"},
        {"system": "Be brief."},
        {"extra_body": {"top_k": 5}},
        {"omit": ("temperature",)},
        {"prefill": True},
        {"seed": 1},
    ]

    def key(**settings: Any) -> str:
        identity = OpenAI(**{**first, **settings}).open().identity()
        return request_key(canonical_json(dict(identity)), request_json(Request("Q")))

    keys = [key(**change) for change in [{}, *changes]]
    assert len(set(keys)) == len(changes) + 1
    limits = {"max_concurrency": 3, "retries": 1, "timeout_s": 9, "rationale": "both"}
    assert key(**limits, input_price=1.0, output_price=1.0) == keys[0]


def test_forty_percent_429_lose_nothing(simulated: Start, tmp_path: Path) -> None:
    endpoint = simulated(
        "--latency", "0.005", "--share-429", "0.4", "--retry-after", "0.05", "--count-prompts"
    )
    counts, ledger = generate(teacher(endpoint), tmp_path, 300)
    assert counts == GenerateCounts(300, 300)
    assert endpoint.stats()["repeated"] == 0
    assert ledger.events["retried: rate limit"] > 50


def test_a_rate_limit_of_the_endpoint_is_respected(simulated: Start, tmp_path: Path) -> None:
    endpoint = simulated("--latency", "0")
    began = time.monotonic()
    generate(teacher(endpoint, requests_per_minute=3000), tmp_path, 100)
    assert time.monotonic() - began > 0.9


FAULTS = (
    *("--share-500", "0.02", "--share-reset", "0.01", "--share-hang", "0.01"),
    *("--share-truncated", "0.01", "--share-empty", "0.01", "--share-wrong-type", "0.005"),
)


def test_every_question_is_answered_in_spite_of_faults(simulated: Start, tmp_path: Path) -> None:
    endpoint = simulated("--latency", "0.01", *FAULTS)
    counts, ledger = generate(teacher(endpoint, timeout_s=0.5), tmp_path, 600)
    assert counts == GenerateCounts(600, 600)
    for kind in ("server error", "connection broken", "timeout", "malformed reply"):
        assert ledger.events[f"retried: {kind}"] > 0, kind


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--share-500", "1"), "server error"),
        (("--share-reset", "1"), "connection broken"),
        (("--share-hang", "1"), "endpoint down"),
        (("--share-truncated", "1"), "malformed reply"),
        (("--share-empty", "1"), "malformed reply"),
        (("--share-wrong-type", "1"), "malformed reply"),
    ],
)
def test_what_fails_for_good_is_listed_with_its_reason(
    simulated: Start, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    endpoint = simulated("--latency", "0", *options)
    settings = {"retries": 1, "timeout_s": 0.2, "connect_patience_s": 0.1}
    counts, ledger = generate(teacher(endpoint, **settings), tmp_path, 3)
    assert (counts.failures.counts, counts.failures.transient) == ({reason: 3}, 3)
    assert ledger.events["requests"] == 6


def test_a_prompt_that_is_too_long_fails_alone(simulated: Start) -> None:
    with pytest.raises(QuestionFailed) as caught:
        complete(teacher(simulated()), Request("this is too long"))
    assert caught.value.reason == "prompt too long"


def test_an_unknown_model_stops_the_run_with_the_remedy(simulated: Start) -> None:
    with pytest.raises(
        FatalTeacherError, match="HTTP 404: The model 'm' does not exist; check `base_url`"
    ):
        complete(teacher(simulated("--model", "other")), Request("Q"))


def test_a_dead_endpoint_is_one_line_soon(tmp_path: Path) -> None:
    dead = OpenAI(model="m", base_url="http://127.0.0.1:9/v1", connect_patience_s=0.3)
    began = time.monotonic()
    with pytest.raises(
        FatalTeacherError, match=r"not reachable .*start the server, or correct `base_url`"
    ) as caught:
        generate(dead, tmp_path, 100)
    assert time.monotonic() - began < 60  # and not a hundred questions' patience
    assert "\n" not in str(caught.value)


def test_an_outage_is_waited_for_and_nothing_is_lost(
    simulated: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = simulated("--latency", "0.02")

    def break_down() -> None:
        time.sleep(0.6)
        endpoint.stop()
        time.sleep(4.0)
        endpoint.restart()

    thread = threading.Thread(target=break_down)
    thread.start()
    with caplog.at_level(logging.WARNING, logger="cotdistill"):
        counts, ledger = generate(teacher(endpoint, max_concurrency=32), tmp_path, 2000)
    thread.join()
    assert counts == GenerateCounts(2000, 2000)
    assert sum("does not answer" in line for line in caplog.messages) == 1
    assert any("answers again after" in line for line in caplog.messages)
    assert ledger.roles["teacher"].completions == 2000


def test_a_budget_holds_over_calls_and_is_passed_by_no_more_than_one_request(
    simulated: Start, tmp_path: Path
) -> None:
    endpoint = simulated("--latency", "0.01")
    settings = {"input_price": 1.0, "output_price": 2.0}
    _, ledger = complete(teacher(endpoint, **settings), Request("Q: number 10\nA:"))
    budget = Budget(money=50 * ledger.money)
    for _ in range(3):
        with pytest.raises(BudgetSpent, match="raise `budget` and run again"):
            generate(teacher(endpoint, **settings), tmp_path, 500, budget)
        seen = endpoint.stats()["seen"]["answered"] - 1
        assert 50 <= seen <= 51
    _, ledger = generate(teacher(endpoint, **settings), tmp_path, 500)
    assert ledger.total.roles["teacher"].completions == 500
    assert endpoint.stats()["seen"]["answered"] == 501


def test_more_rows_and_more_samples_ask_only_for_what_is_new(
    simulated: Start, tmp_path: Path
) -> None:
    endpoint = simulated("--latency", "0")
    for count, samples, new in ((100, 4, 100), (100, 4, 0), (120, 4, 20), (120, 8, 120)):
        before = endpoint.stats()["seen"].get("requests", 0)
        generate(teacher(endpoint), tmp_path, count, samples=samples)
        assert endpoint.stats()["seen"]["requests"] - before == new


KEY = "sk-secret-4711-0815"


def test_the_key_is_found_nowhere(
    simulated: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    endpoint = simulated("--latency", "0", "--key", KEY, *FAULTS)
    counts, _ = generate(teacher(endpoint, timeout_s=0.2), tmp_path, 200)
    assert counts.rationales == 200
    other = simulated("--key", "sk-another")
    with pytest.raises(
        FatalTeacherError, match=r"Incorrect API key provided: \*\*\*\.; check the key"
    ) as caught:
        generate(teacher(other), tmp_path / "refused", 10)
    seen = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(teacher(endpoint))
    captured = capfd.readouterr()
    seen += captured.out + captured.err + repr(vars(teacher(endpoint).open()))
    assert KEY not in seen
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert all(KEY.encode() not in path.read_bytes() for path in files)


WATCHED = """
import sys
from pathlib import Path
calls = set()
sys.addaudithook(lambda event, args: calls.add(args[1][:2]) if event == "socket.connect" else
                 calls.add(args[:2]) if event == "socket.getaddrinfo" else None)
sys.path.insert(0, sys.argv[1])
from test_openai import generate, OpenAI
generate(OpenAI(model="m", base_url=sys.argv[2]), Path(sys.argv[3]), 20)
print(sorted(map(str, calls)))
"""


def test_nothing_is_called_but_the_endpoint_and_nothing_is_probed(
    simulated: Start, tmp_path: Path
) -> None:
    endpoint = simulated("--latency", "0")
    command = [
        sys.executable,
        "-c",
        WATCHED,
        str(Path(__file__).parent),
        endpoint.base_url,
        str(tmp_path),
    ]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout.strip() == str([str(("127.0.0.1", endpoint.port))])
    assert endpoint.stats()["seen"]["requests"] == 20


PROGRAM = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_openai import generate, OpenAI
teacher = OpenAI(model="m", base_url=sys.argv[2], max_concurrency=16)
generate(teacher, Path(sys.argv[3]), int(sys.argv[4]))
"""


def test_killed_again_and_again_it_ends_with_the_same_file_and_loses_nothing(
    simulated: Start, tmp_path: Path
) -> None:
    endpoint = simulated("--latency", "0.02", "--count-prompts")
    undisturbed, killed = tmp_path / "a", tmp_path / "b"
    generate(OpenAI(model="m", base_url=endpoint.base_url), undisturbed, 600)
    arrived = 0
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(Path(__file__).parent),
        endpoint.base_url,
        str(killed),
        "600",
    ]
    for _ in range(3):
        job = subprocess.Popen(command)
        log = killed / "completions.sqlite"
        deadline = time.monotonic() + 20
        while (kept := count_of(log)) < arrived + 30 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
        assert count_of(log) >= kept
        arrived = count_of(log)
    assert subprocess.run(command, check=True).returncode == 0
    assert (killed / "rationales.jsonl").read_bytes() == (
        undisturbed / "rationales.jsonl"
    ).read_bytes()
    # A kill loses what is in flight, and what has arrived since the last commit: as much again on
    # an idle machine, more where this process waits for its turn.
    assert endpoint.stats()["repeated"] - 600 <= 3 * (16 + 32)


def count_of(log: Path) -> int:
    if not log.exists():
        return 0
    try:
        with CompletionLog(log, read_only=True) as opened:
            return sum(row[2] for row in opened.summary())
    except StoreError:  # the other process is just creating it
        return 0

"""Faults of endpoints by their kind: one quirk after another, silence, floods, redirects, keys."""

from __future__ import annotations

import gzip
import json
import logging
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cotdistill.errors import FatalTeacherError, TeacherError
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.model.limits import FIRST
from cotdistill.teachers._endpoint import FIRST_UNREADABLE
from tests.teachers.fake_endpoint import (
    USAGE,
    Call,
    Reply,
    choice,
    generate,
    good,
    reply,
)


def status(code: int, message: str = "an error", **headers: str) -> web.Response:
    body = json.dumps({"error": {"message": message, "code": code}})
    return web.Response(status=code, text=body, headers=headers, content_type="application/json")


class Broken(web.Response):
    """Ends the connection in the middle of the reply."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        request.transport.abort()
        raise ConnectionResetError


FRAGMENT = "There are 5 at first and"
# Faults of one try: asked again, the reply comes.
PASSING: dict[str, Callable[[Call], Reply]] = {
    "429": lambda call: status(429),
    "429 at once": lambda call: status(429, **{"Retry-After": "0"}),
    "429 nan": lambda call: status(429, **{"Retry-After": "nan"}),
    "429 far ahead": lambda call: status(429, **{"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"}),
    "429 of tokens": lambda call: status(429, "Too many tokens, please wait before trying again."),
    "500": lambda call: status(500, "generation took too long"),
    "502 page": lambda call: web.Response(status=502, text="<html>Bad gateway</html>"),
    "503": lambda call: status(503, "upstream took too long to respond"),
    "429 in 200": lambda call: {"choices": None, "error": {"message": "slow down", "code": 429}},
    "broken": lambda call: Broken(),
    "finish error": lambda call: reply(choice(FRAGMENT, finish_reason="error")),
    "finish unknown": lambda call: reply(choice(FRAGMENT, finish_reason="gone_fishing")),
    "error beside text": lambda call: reply({**choice(FRAGMENT), "error": {"code": 502}}),
    "error beside choices": lambda call: reply(
        choice(FRAGMENT, finish_reason=""), error={"message": "upstream died", "code": 500}
    ),
    "error in words": lambda call: {"error": {"message": "slow down", "code": "rate_limit"}},
    "no choices": lambda call: reply(),
    "odd content": lambda call: reply(choice({"odd": 1})),
    "no JSON": lambda call: web.Response(text='{"choices": [{"mess'),
    "no object": lambda call: web.json_response([1, 2]),
    "one of two": lambda call: reply(choice("3 + 8 = 11", 0), *[choice(None, 1)][: call.n - 1]),
    "fewer": lambda call: reply(choice("3 + 8 = 11. The answer is 11.")),
}
# Faults of a question: it is listed, with the words.
LASTING: dict[str, tuple[str, Callable[[Call], Reply]]] = {
    "filter": ("refused by the endpoint", lambda call: reply(*filtered(call))),
    "400": ("HTTP 400", lambda call: status(400, "what is this")),
    "403": ("refused by the endpoint", lambda call: status(403, "flagged by the moderation")),
    "413": ("prompt too long", lambda call: status(413, "payload too large")),
    "418": ("HTTP 418", lambda call: status(418, "short and stout")),
    "400 in 200": ("HTTP 400", lambda call: {"error": {"message": "not this one", "code": 400}}),
}


def filtered(call: Call) -> list[dict[str, Any]]:
    return [choice(FRAGMENT, n, "content_filter") for n in range(call.n)]


def test_one_quirk_after_another(tmp_path: Path) -> None:
    """Every quirk at 1 %: all answered or listed, nothing paid twice, nothing lost, money equal."""
    draw, seen = random.Random(1), dict[str, str]()
    kinds = [*PASSING, *LASTING]
    delivered: Counter[str] = Counter()

    def behave(call: Call) -> Reply:
        first = call.prompt not in seen
        if first:
            at = int(draw.random() * 100)
            seen[call.prompt] = kinds[at] if at < len(kinds) else ""
        quirk = seen[call.prompt]
        if quirk in LASTING:
            return LASTING[quirk][1](call)
        made = PASSING[quirk](call) if quirk and first else good(call)
        if isinstance(made, dict) and (quirk in ("one of two", "fewer") or not quirk or not first):
            texts = [one["message"]["content"] for one in made["choices"]]
            delivered[call.prompt] += sum(isinstance(text, str) for text in texts)
        return made

    outcome = generate(behave, tmp_path, count=1000, samples=2, max_concurrency=64, retries=6)
    assert outcome.error is None
    assert {*seen.values()} == {"", *kinds}  # the draw had them all
    for number, row in enumerate(outcome.rows):
        prompt = f"Question {number}{' SENSITIVE' if number == 6 else ''}: 3 + 8?"
        quirk = seen[prompt]
        if quirk in LASTING:
            assert row["failed"] == LASTING[quirk][0], quirk
            assert len(row["message"]) > 20
        else:
            assert len(row["rationales"]) == 2 == delivered[prompt], quirk
            assert all(FRAGMENT not in one["text"] for one in row["rationales"])
    spent = outcome.ledger.total.roles["teacher"]
    assert spent.tokens - spent.estimated_tokens == outcome.fake.charged_tokens
    assert spent.estimated_tokens > 0  # the replies that were no JSON
    fates = outcome.ledger.events
    assert fates["requests"] == len(outcome.fake.calls)


def test_one_bad_choice_of_eight_is_paid_once(tmp_path: Path) -> None:
    def behave(call: Call) -> Reply:
        if call.n == 8:
            return reply(*(choice(None if n == 3 else "3 + 8 = 11", n) for n in range(8)))
        return None

    outcome = generate(behave, tmp_path, count=4, samples=8)
    assert outcome.counts.rationales == 32
    assert Counter(call.n for call in outcome.fake.calls) == {8: 4, 1: 4}


def test_n_that_is_refused_is_left_out_from_then_on(tmp_path: Path) -> None:
    def behave(call: Call) -> Reply:
        return status(400, "n > 1 is not supported") if call.n > 1 else None

    outcome = generate(behave, tmp_path, count=20, samples=3, max_concurrency=1)
    assert outcome.counts.rationales == 60
    assert sum(call.n > 1 for call in outcome.fake.calls) <= 1


def test_one_refused_question_does_not_switch_n_off(tmp_path: Path) -> None:
    def behave(call: Call) -> Reply:
        return status(400, "no") if "SENSITIVE" in call.prompt else None

    outcome = generate(behave, tmp_path, samples=3, max_concurrency=1)
    assert outcome.counts.rationales == 33
    assert len(outcome.fake.calls) == 12


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_one_question_that_always_fails_stops_nothing(code: int, tmp_path: Path) -> None:
    def behave(call: Call) -> Reply:
        return status(code, "upstream") if "SENSITIVE" in call.prompt else None

    for _ in range(2):  # the second time it is asked alone
        outcome = generate(behave, tmp_path, retries=1, connect_patience_s=0.5, patience_s=0.5)
        assert outcome.error is None
        assert outcome.counts.rationales == 11
        assert outcome.counts.failures.transient == 1
        assert f"HTTP {code}: upstream" in outcome.rows[6]["message"]


def test_an_account_that_ends_in_the_middle_stops_the_run(tmp_path: Path) -> None:
    answered = Counter[str]()

    def behave(call: Call) -> Reply:
        answered["all"] += 1
        return status(401, "key revoked") if answered["all"] > 100 else None

    outcome = generate(behave, tmp_path, count=1000)
    assert isinstance(outcome.error, FatalTeacherError)
    assert "requests failed: HTTP 401: key revoked; check the key" in str(outcome.error)
    assert len(outcome.fake.calls) < 160


def test_a_third_of_refused_questions_stops_nothing(tmp_path: Path) -> None:
    def behave(call: Call) -> Reply:
        return status(400, "no") if int(call.prompt.split()[1].strip(":")) % 3 == 0 else None

    outcome = generate(behave, tmp_path, count=300)
    assert (outcome.counts.rationales, outcome.counts.failures.counts) == (200, {"HTTP 400": 100})


def test_what_is_left_of_a_run_stops_no_later_call(tmp_path: Path) -> None:
    """The later call asks only what failed before: that all of it fails again is no news."""

    def behave(call: Call) -> Reply:
        number = int(call.prompt.split()[1].strip(":"))
        if number % 8 == 1:
            return status(400, "no")
        return status(500, "not now") if number == 10 else None

    first = generate(behave, tmp_path, count=400, retries=0)
    again = generate(behave, tmp_path, count=400, retries=0, port=first.fake.port)
    for outcome in (first, again):
        assert outcome.error is None
        assert outcome.counts.failures.counts == {"HTTP 400": 50, "server error": 1}
    assert len(again.fake.calls) == 51


@pytest.mark.parametrize(
    "fault",
    [
        status(400, "the maximum context length is 4096 tokens, max_tokens 5000"),
        status(403, "your account was flagged"),
    ],
)
def test_the_first_requests_all_refused_stop_the_run_whatever_the_words(
    fault: web.Response, tmp_path: Path
) -> None:
    body = fault.body
    outcome = generate(
        lambda call: web.Response(status=fault.status, body=body), tmp_path, count=200
    )
    assert isinstance(outcome.error, FatalTeacherError)
    assert len(outcome.fake.calls) <= 10


def test_a_reply_with_another_status_of_success_or_a_broken_letter_is_a_reply(
    tmp_path: Path,
) -> None:
    def behave(call: Call) -> Reply:
        return web.Response(status=201, body=json.dumps(good(call)).encode() + b" ")

    assert generate(behave, tmp_path / "201").counts.rationales == 12
    broken = json.dumps(reply(choice("caf? 11"))).encode().replace(b"?", b"\xe9")
    outcome = generate(lambda call: web.Response(body=broken), tmp_path / "latin")
    assert outcome.rows[0]["rationales"][0]["text"] == "caf\ufffd 11"
    assert len(outcome.fake.calls) == 12


@pytest.mark.parametrize("code", [400, 500])
def test_what_an_error_says_it_cost_is_booked(code: int, tmp_path: Path) -> None:
    def behave(call: Call) -> Reply:
        if "SENSITIVE" in call.prompt:
            text = json.dumps({"error": {"message": "no"}, "usage": USAGE})
            return web.Response(status=code, text=text)
        return None

    outcome = generate(behave, tmp_path, retries=1)
    tries = len(outcome.fake.calls) - 11
    assert outcome.ledger.tokens == (11 + tries) * USAGE["total_tokens"]


def test_replies_without_a_completion_from_the_first_one_on_cost_few_requests(
    tmp_path: Path,
) -> None:
    outcome = generate(lambda call: web.json_response({"usage": USAGE}), tmp_path, count=100)
    assert isinstance(outcome.error, FatalTeacherError)
    assert "no choices in the reply" in str(outcome.error)
    assert len(outcome.fake.calls) <= FIRST_UNREADABLE + FIRST
    assert outcome.ledger.tokens == len(outcome.fake.calls) * USAGE["total_tokens"]


def test_a_wait_beyond_the_time_limit_is_told_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    slow = {"Retry-After": "100"}
    outcome = generate(
        lambda call: status(429, "slow down", **slow), tmp_path, count=3, total_timeout_s=6
    )
    assert time.monotonic() - began < 60  # and not the 100 s asked for
    assert "slow down (asks to wait 100 s; total_timeout_s is 6)" in outcome.rows[0]["message"]


def test_an_endpoint_that_hangs_is_told_once_and_ends_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Hanging(web.Response):
        async def prepare(self, request: web.BaseRequest) -> Any:
            import asyncio

            await asyncio.sleep(60)

    began = time.monotonic()
    outcome = generate(
        lambda call: Hanging(), tmp_path, count=60, timeout_s=0.4, connect_patience_s=1
    )
    assert time.monotonic() - began < 50  # and not as long as the endpoint hangs
    assert isinstance(outcome.error, FatalTeacherError)
    assert "no reply within timeout_s (0.4 s)" in str(outcome.error)
    assert sum("does not answer" in line for line in caplog.messages) == 1


def test_a_third_of_503_is_no_outage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw = random.Random(1)
    outcome = generate(
        lambda call: status(503) if draw.random() < 0.3 else None, tmp_path, count=300
    )
    assert outcome.counts.rationales == 300
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) <= 2


def test_a_reply_has_a_largest_size(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(400 * 2**20), 1)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = generate(
        lambda call: web.Response(body=bomb, headers=headers), tmp_path, count=2, retries=0
    )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert "the reply is larger than 16 MiB" in outcome.rows[0]["message"]
    assert outcome.ledger.tokens > 0  # whatever it was, it was paid for
    assert grown < 200_000  # KiB


def test_a_redirect_is_not_followed_and_its_target_is_named(tmp_path: Path) -> None:
    away = {"Location": "http://elsewhere.invalid/v1/chat/completions"}
    outcome = generate(lambda call: web.Response(status=307, headers=away), tmp_path)
    assert isinstance(outcome.error, FatalTeacherError)
    assert "HTTP 307: redirects to elsewhere.invalid" in str(outcome.error)


def test_azures_form_of_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    path = "/openai/deployments/gpt?api-version=2024-10-21"
    outcome = generate(lambda call: None, tmp_path, count=1, path=path, key_header="api-key")
    (call,) = outcome.fake.calls
    assert call.path == "/v1/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    assert call.headers["api-key"] == KEY
    assert "Authorization" not in call.headers


@pytest.mark.parametrize(
    ("rationale", "text"),
    [
        ("auto", "3 + 8 = 11"),
        ("reply", "11"),
        ("reasoning", "3 + 8 = 11"),
        ("both", "3 + 8 = 11\n11"),
    ],
)
def test_which_text_is_the_rationale(
    rationale: str, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thinking = reply(choice("11", reasoning_content="3 + 8 = 11"))
    first = generate(lambda call: thinking, tmp_path, count=2)
    port = first.fake.port
    outcome = generate(lambda call: thinking, tmp_path, count=2, port=port, rationale=rationale)
    assert [row["rationales"][0]["text"] for row in outcome.rows] == [text] * 2
    assert outcome.fake.calls == []  # another choice asks nothing anew
    assert sum("the reasoning beside them is the rationale" in m for m in caplog.messages) <= 2


KEY = "sk-Zq7Xw2Lk9Vb4Nm8Tr5Yp1Hd6"
ECHOES: list[Callable[[str], Reply]] = [
    lambda key: status(500, f"you sent Authorization: Bearer {key}", **{"X-Echo": key}),
    lambda key: status(500, "x" * 280 + key),
    lambda key: status(429, f"key {key[:20]}"),
    lambda key: web.Response(status=502, text=f"<html>{key}</html>", headers={"Retry-After": key}),
    lambda key: {"error": {"message": f"slow down, {key}", "code": 429}},
    lambda key: web.Response(text=f'{{"choices": {key}'),
    lambda key: web.Response(text=json.dumps([key])),
    lambda key: reply(choice({"odd": key})),
    lambda key: reply(choice("3 + 8", finish_reason=key)),
    lambda key: web.Response(text=json.dumps(reply(choice(key))).replace("Zq7", r"\u005aq7")),
    lambda key: web.Response(body=json.dumps(reply(choice(key))).encode("utf-16")),
]
LAST: list[Callable[[str], Reply]] = [
    lambda key: reply(choice(f"3 + 8 = 11 {key} The answer is 11.", reasoning_content=key)),
    lambda key: reply(choice(f"{key[3:14]} and {key[10:]}")),
    lambda key: status(400, f"no {key}"),
    lambda key: reply(choice(None, refusal=f"I will not say {key}")),
    lambda key: status(500, key * 3),
    # Python's JSON reads NaN and escapes, other readers do not.
    lambda key: web.Response(
        text=json.dumps(reply(choice(f"11 {key}"), x=float("nan"))).replace(
            key, "".join(f"\\u{ord(letter):04x}" for letter in key)
        )
    ),
]


def leaks(text: bytes) -> bool:
    return any(KEY.encode()[at : at + 8] in text for at in range(len(KEY) - 7))


def test_an_endpoint_that_echoes_the_key_everywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    logging.getLogger("cotdistill.requests").setLevel(logging.INFO)
    tries: Counter[str] = Counter()

    def behave(call: Call) -> Reply:
        assert call.headers["Authorization"] == f"Bearer {KEY}"
        tries[call.prompt] += 1
        number = int(call.prompt.split()[1].strip(":"))
        if tries[call.prompt] == 1:
            return ECHOES[number % len(ECHOES)](KEY)
        return LAST[number % len(LAST)](KEY)

    outcome = generate(behave, tmp_path, count=40, retries=3)
    logging.getLogger("cotdistill.requests").setLevel(logging.NOTSET)
    assert outcome.error is None
    assert len(outcome.rows) == 40
    assert any("***" in row.get("message", "") for row in outcome.rows)
    away = {"Location": f"http://{KEY}.invalid/?k={KEY}"}
    moved = generate(lambda call: web.Response(status=307, headers=away), tmp_path / "moved")
    refused = generate(lambda call: status(401, f"bad key {KEY}"), tmp_path / "refused")
    said = capfd.readouterr()
    texts = [said.out, said.err, caplog.text, repr(outcome.ledger.to_json())]
    texts += [repr(moved.error), repr(refused.error), repr(outcome.counts)]
    assert "***" in repr(refused.error)
    assert not any(leaks(text.encode()) for text in texts)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert [path for path in files if leaks(path.read_bytes())] == []


@pytest.mark.parametrize(
    "state",
    [
        {"id": "batch-1", "status": "failed", "errors": {"data": [{"message": f"Bearer {KEY}"}]}},
        {"id": f"batch-{KEY}", "status": "failed"},
        {"id": "batch-1", "state": KEY},
        {"status": KEY},
        {"id": "batch-1", "status": 7},
        {"id": "batch-1", "status": "completed", "output_file_id": {"odd": KEY}},
    ],
)
def test_an_odd_batch_ends_in_one_line_without_the_key(
    state: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def behave(call: Call) -> Reply:
        if call.path.endswith("/files"):
            return web.json_response({"id": "file-1"})
        if "/batches" in call.path:
            return web.json_response(state)
        return status(404, f"no file, {KEY}")

    settings = {"batch": True, "batch_gather_s": 0.05, "batch_poll_s": 0.05, "retries": 0}
    outcome = generate(behave, tmp_path, count=3, **settings)
    assert isinstance(outcome.error, TeacherError)
    said = capfd.readouterr()
    assert not leaks(f"{outcome.error}{said.out}{said.err}{caplog.text}".encode())
    assert not leaks((tmp_path / "completions.sqlite").read_bytes())


@pytest.mark.parametrize(
    "row",
    [
        {"custom_id": 5, "response": 7},
        {"custom_id": "{id}", "response": 7},
        {"custom_id": "{id}", "response": {"status_code": "x", "body": None}},
        {"custom_id": "{id}", "response": None, "error": {"message": "expired"}},
        [1],
        7,
    ],
)
def test_an_odd_row_of_a_batch_is_that_questions_failure(row: Any, tmp_path: Path) -> None:
    ids: list[str] = []

    def behave(call: Call) -> Reply:
        if call.path.endswith("/files"):
            lines = [line for line in call.text.splitlines() if '"custom_id"' in line]
            ids[:] = [json.loads(line)["custom_id"] for line in lines]
            return web.json_response({"id": "file-1"})
        if "/content" in call.path:
            body = {"status_code": 200, "body": good(call)}
            rows = [json.dumps({"custom_id": one, "response": body}) for one in ids[1:]]
            odd = json.dumps(row).replace("{id}", ids[0])
            return web.Response(text="\n".join([odd, *rows]))
        done = {"id": f"b-{len(ids)}-{ids[0]}", "status": "completed", "output_file_id": "out"}
        return web.json_response(done)

    settings = {"batch": True, "batch_gather_s": 0.1, "batch_poll_s": 0.05, "retries": 0}
    outcome = generate(behave, tmp_path, count=6, **settings)
    assert outcome.error is None
    assert outcome.counts.rationales == 5
    assert outcome.counts.failures.counts.total() == 1
    assert USAGE["total_tokens"] * 5 <= outcome.ledger.tokens


def test_a_bare_answer_beside_reasoning_needs_no_answer_call(tmp_path: Path) -> None:
    thinking = reply(choice("**11**", reasoning_content="There are 3, 8 come to it: 3 + 8 = 11."))
    outcome = generate(lambda call: thinking, tmp_path, count=2, method=FineTuneCot())
    (rationale,) = outcome.rows[0]["rationales"]
    assert (rationale["text"], rationale["answer"]) == (
        "There are 3, 8 come to it: 3 + 8 = 11.",
        "11",
    )
    assert len(outcome.fake.calls) == 2


def test_a_limit_that_cuts_most_rationales_stops_the_run_early(tmp_path: Path) -> None:
    cut = reply(choice("There are 3 at first and", finish_reason="length"))
    method = FineTuneCot(answer_call=False)
    outcome = generate(lambda call: cut, tmp_path, count=1000, method=method)
    assert "20 of the first 20 rationales were cut off at `max_tokens`; raise it" in str(
        outcome.error
    )
    assert len(outcome.fake.calls) < 120


def test_verbose_notes_what_becomes_of_every_request(tmp_path: Path) -> None:
    from cotdistill.cli.run import _requests_noted

    tries: Counter[str] = Counter()

    def behave(call: Call) -> Reply:
        tries["all"] += 1
        return status(500, "busy \x1b[2J") if tries["all"] == 3 else None

    with _requests_noted(tmp_path):
        generate(behave, tmp_path)
    generate(behave, tmp_path / "silent")
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert Counter(row["outcome"] for row in rows) == {"answered": 12, "server error": 1}
    (failed,) = (row for row in rows if row["outcome"] == "server error")
    assert failed["message"] == "HTTP 500: busy \\x1b[2J"
    assert rows[0]["prompt_tokens"] == 30

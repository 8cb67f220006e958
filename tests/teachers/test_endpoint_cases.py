"""Replies of real endpoints, as public reports have them, and what must become of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cotdistill.errors import BudgetSpent, FatalTeacherError
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget
from tests.teachers.fake_endpoint import Call, Outcome, Reply, generate

CASES = Path(__file__).parents[3] / "shared" / "cases" / "endpoint_replies.jsonl"
WAITING_S = 2.5
"""How long an endpoint refuses everybody here, where reports say 8 or 20 seconds."""


def answered(outcome: Outcome) -> None:
    assert outcome.error is None
    assert (outcome.counts.questions, outcome.counts.rationales) == (12, 12)


def alone(reason: str, words: str, transient: int = 0) -> Callable[[Outcome], None]:
    """One question is listed with reason and words; the others are answered."""

    def check(outcome: Outcome) -> None:
        assert outcome.error is None
        assert outcome.counts.rationales == 11
        assert outcome.counts.failures.counts == {reason: 1}
        assert outcome.counts.failures.transient == transient
        row = outcome.rows[6]
        assert (row["question"], row["failed"]) == ("q/6", reason)
        assert words in row["message"]
        assert len(outcome.fake.calls) == 12

    return check


def stops(words: str, most: int) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert isinstance(outcome.error, FatalTeacherError)
        assert words in str(outcome.error)
        assert "\n" not in str(outcome.error)
        assert len(outcome.fake.calls) <= most

    return check


def waits(outcome: Outcome) -> None:
    answered(outcome)
    assert len(outcome.fake.calls) < 12 + 60


def asked_again(outcome: Outcome) -> None:
    answered(outcome)
    assert len(outcome.fake.calls) == 13
    assert all("There are 5" not in row["rationales"][0]["text"] for row in outcome.rows)


def two_of_three(outcome: Outcome) -> None:
    assert outcome.error is None
    assert outcome.counts.rationales == 35
    assert [one["sample_index"] for one in outcome.rows[6]["rationales"]] == [0, 2]
    assert outcome.ledger.failed == {"refused by the endpoint": 1}
    assert len(outcome.fake.calls) == 12


def joined(outcome: Outcome) -> None:
    answered(outcome)
    assert outcome.rows[0]["rationales"][0]["text"] == "3 + 8 = 11. The answer is 11."


def reasoning_is_the_rationale(outcome: Outcome) -> None:
    answered(outcome)
    expected = "There are 3 at first and 8 come to it, so 3 + 8 = 11."
    assert {row["rationales"][0]["text"] for row in outcome.rows} == {expected}


def cut(outcome: Outcome) -> None:
    assert outcome.error is None
    assert outcome.rows[6]["rationales"][0]["text"] == ""
    assert len(outcome.fake.calls) == 12


def budget_held(outcome: Outcome) -> None:
    assert isinstance(outcome.error, BudgetSpent)
    assert outcome.fake.charged_tokens == 200 == outcome.ledger.tokens


TOO_LONG = "prompt too long"
REFUSED = "refused by the endpoint"
EXPECTED: dict[str, Callable[[Outcome], None]] = {
    "rate limit inside 200": waits,
    "no credentials inside 200": stops("No auth credentials found; check the key", 4),
    "wrong path answered with 200": stops("`base_url` usually ends in /v1", 8),
    "broken off, finish_reason error": asked_again,
    "cut by the content filter": alone(REFUSED, "content_filter"),
    "filtered away, content null": alone(REFUSED, "content_filter"),
    "one of three samples filtered": two_of_three,
    "refusal field": alone(REFUSED, "I'm sorry, I can't help with that."),
    "provider's moderation, 400": alone(REFUSED, "HTTP 400: Content Exists Risk"),
    "provider's moderation, 403": alone(REFUSED, "HTTP 403: Your input was flagged"),
    "prompt too long, llama.cpp": alone(TOO_LONG, "HTTP 400: request (4390 tokens)"),
    "prompt too long, SGLang": alone(TOO_LONG, "HTTP 400: The input (61709 tokens)"),
    "prompt too long, TGI": alone(TOO_LONG, "HTTP 422: Input validation error"),
    "prompt too long, llama.cpp, older": alone(TOO_LONG, "HTTP 500: Context size"),
    "content in parts": joined,
    "reasoning beside a bare answer": reasoning_is_the_rationale,
    "reasoning cut, content null": cut,
    "Retry-After: 0": waits,
    "Retry-After in the past": waits,
    "malformed replies cost money": budget_held,
}


def rows() -> dict[str, dict[str, Any]]:
    if not CASES.exists():
        return {}
    lines = CASES.read_text("utf-8").splitlines()
    return {row["case"]: row for row in map(json.loads, lines)}


def behaviour(row: dict[str, Any]) -> Callable[[Call], Reply]:
    """The reply of a row, as often as the row says."""
    began, seen = time.monotonic(), list[str]()

    def behave(call: Call) -> Reply:
        when = row["when"]
        if "for one question" in when:
            odd = "SENSITIVE" in call.prompt
        elif when.startswith("the first reply to one question"):
            odd = "SENSITIVE" in call.prompt and not seen
            seen.extend(["yes"] if odd else [])
        elif when.startswith("every question for"):
            odd = time.monotonic() - began < WAITING_S
        else:
            assert when.startswith("always"), when
            odd = True
        if not odd:
            return None
        past = formatdate(time.time() - 90, usegmt=True)
        headers = {k: past if "now" in v else v for k, v in row["headers"].items()}
        if row["status"] == 200:
            return json.loads(row["body"])  # type: ignore[no-any-return]
        return web.Response(status=row["status"], headers=headers, text=row["body"])

    return behave


def test_every_case_has_its_outcome() -> None:
    if not rows():
        pytest.skip(f"{CASES} is absent")
    assert rows().keys() == EXPECTED.keys()


@pytest.mark.parametrize("case", EXPECTED)
def test_a_reply_of_a_real_endpoint(case: str, tmp_path: Path) -> None:
    if case not in rows():
        pytest.skip(f"{CASES} is absent or has no row {case!r}")
    row = rows()[case]
    samples = 3 if "n = 3" in row["when"] else 1
    budget = Budget(tokens=200) if case == "malformed replies cost money" else None
    settings = {"max_concurrency": 1} if budget else {}
    outcome = generate(behaviour(row), tmp_path, samples=samples, budget=budget, **settings)
    EXPECTED[case](outcome)
    if outcome.error is None and row["when"].startswith("always, for one question"):
        if row["status"] != 200 or "reasoning" in case:
            return
        again = generate(behaviour(row), tmp_path, samples=samples, port=outcome.fake.port)
        assert again.fake.calls == []  # final: not asked again
        with CompletionLog(tmp_path / "completions.sqlite", read_only=True) as log:
            texts = [entry.completion.text for entry in log.entries()]
        assert not any("There are 5" in text for text in texts)

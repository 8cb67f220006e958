"""Reading replies: every usual shape, and every wrong one refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from cotdistill.records import Completion
from cotdistill.teachers._replies import (
    BadReply,
    cut_at_stops,
    error_message,
    parse_json,
    read_completions,
    split_thinking,
)


def read(data: dict[str, Any], samples: int = 1, **settings: Any) -> list[Completion]:
    defaults: dict[str, Any] = {"chat": True, "prefill": "", "begin_sent": False, "stop": ()}
    return read_completions(data, range(samples), **{**defaults, **settings})


def chat(message: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], **more}


def test_text_reasoning_and_tokens() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    (completion,) = read(chat({"content": "11", "reasoning_content": "3 + 8"}, usage=usage))
    assert completion == Completion(
        "11", reasoning="3 + 8", prompt_tokens=10, completion_tokens=7, cached_prompt_tokens=8
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": "<think>3 + 8</think>\n\n11"}, ("3 + 8", "11")),
        ({"content": "3 + 8</think>11"}, ("3 + 8", "11")),
        ({"content": "<think>3 + 8 and then"}, ("3 + 8 and then", "")),
        ({"content": "11", "reasoning": "3 + 8"}, ("3 + 8", "11")),
        ({"content": None, "reasoning": "3 + 8"}, ("3 + 8", "")),
        ({"content": "say <think> and </think>"}, ("", "say <think> and </think>")),
        ({"content": "11"}, ("", "11")),
    ],
)
def test_thinking_is_kept_apart(message: dict[str, Any], expected: tuple[str, str]) -> None:
    (completion,) = read(chat(message))
    assert (completion.reasoning, completion.text) == expected


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"choices": None},
        {"choices": "none"},
        {"choices": []},
        {"choices": ["text"]},
        {"choices": [{}]},
        {"choices": [{"message": "text"}]},
        {"choices": [{"message": {"content": 7}}]},
        {"choices": [{"message": {"content": None}}]},
        {"choices": [{"message": {"content": "x", "reasoning": 7}}]},
    ],
)
def test_a_reply_of_the_wrong_shape_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(BadReply):
        read(data)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"choices": [{"mess', b"[]", b"7", b"\xff\xfe", b"<html>"]
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadReply):
        parse_json(body)


@settings(max_examples=40, deadline=None)
@given(
    some.recursive(
        some.none() | some.integers() | some.text(),
        lambda x: some.lists(x) | some.dictionaries(some.text(), x),
    )
)
def test_no_reply_does_anything_but_be_read_or_refused(value: Any) -> None:
    for data in (
        {"choices": value},
        {"choices": [value]},
        chat(value),
        chat({"content": "x"}, usage=value),
    ):
        with contextlib.suppress(BadReply):
            assert all(
                isinstance(completion.text, str)
                for completion in read(json.loads(json.dumps(data)))
            )


def test_tokens_of_several_choices_add_up_and_the_prompt_counts_once() -> None:
    choices = [{"finish_reason": "stop", "text": "x" * length} for length in (3, 0, 50, 11)]
    made = read(
        {"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 101}},
        samples=4,
        chat=False,
    )
    assert sum(c.completion_tokens for c in made) == 101
    assert [c.prompt_tokens for c in made] == [9, 0, 0, 0]
    assert made[2].completion_tokens > made[0].completion_tokens
    empty = read(
        {"choices": [{"text": ""}] * 3, "usage": {"completion_tokens": 4}}, samples=3, chat=False
    )
    assert sum(c.completion_tokens for c in empty) == 4


def test_surplus_choices_are_left_and_missing_usage_is_nothing() -> None:
    assert len(read({"choices": [{"text": "a"}, {"text": "b"}], "usage": None}, chat=False)) == 1
    assert (
        read(chat({"content": "x"}, usage={"prompt_tokens": -3, "completion_tokens": "7"}))[
            0
        ].prompt_tokens
        == 0
    )


@pytest.mark.parametrize(
    ("text", "prefill", "sent", "expected"),
    [
        (" 3 + 8", " First,", True, " First, 3 + 8"),
        (" First, add 3", " First, add", True, " First, add 3"),
        ("First, 3 + 8", " First,", False, " First, 3 + 8"),
        ("3 + 8", " First,", False, " First, 3 + 8"),
        ("3 + 8", " First, ", False, " First, 3 + 8"),
        ("", "First", False, "First"),
    ],
)
def test_begin(text: str, prefill: str, sent: bool, expected: str) -> None:
    assert read(chat({"content": text}), prefill=prefill, begin_sent=sent)[0].text == expected


def test_a_stop_string_inside_begin_does_not_count() -> None:
    assert cut_at_stops("a. b. c.", (".",), 2) == "a. b"
    assert cut_at_stops("abc", ("", "x"), 0) == "abc"


def test_mean_logprob_of_both_apis() -> None:
    content = {"content": [{"logprob": -1.0}, {"logprob": -3.0}]}
    assert (
        read({"choices": [{"message": {"content": "x"}, "logprobs": content}]})[0].logprob == -2.0
    )
    old = {"token_logprobs": [None, -1.0, -2.0]}
    assert read({"choices": [{"text": "x", "logprobs": old}]}, chat=False)[0].logprob == -1.5


def test_half_a_surrogate_pair_can_be_kept() -> None:
    assert read(json.loads(json.dumps(chat({"content": "x\ud83d"}))))[0].text == "x?"


@pytest.mark.parametrize("written", ['{"a": NaN}', '{"a": -Infinity}', '{"a": "\\ud83d"}'])
def test_json_that_only_lax_readers_take_is_read(written: str) -> None:
    assert parse_json(written.encode()).keys() == {"a"}


def test_thinking_without_tags() -> None:
    assert split_thinking("plain") == ("", "plain")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"message": "No\\n such", "code": "x"}}', ("No such", "x")),
        (b'{"error": "plain"}', ("plain", "")),
        (b'{"detail": [{"msg": "field"}]}', ('[{"msg": "field"}]', "")),
        (b'{"message": "m"}', ("m", "")),
        (b"<html>Bad gateway</html>", ("<html>Bad gateway</html>", "")),
        (b"", ("", "")),
    ],
)
def test_error_messages_in_the_usual_shapes(body: bytes, expected: tuple[str, str]) -> None:
    assert error_message(body) == expected

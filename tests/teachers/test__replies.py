"""Reading replies: every usual shape, and every wrong one refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from cotdistill.records import REFUSED, Completion
from cotdistill.teachers._replies import (
    BadReply,
    cut_at_stops,
    error_in,
    error_message,
    parse_json,
    read_completions,
    read_usage,
)


def read(data: dict[str, Any], samples: int = 1, **settings: Any) -> list[Completion]:
    defaults: dict[str, Any] = {"chat": True, "prefill": "", "prefill_sent": False, "stop": ()}
    usage = read_usage(data, b"", b"")
    return read_completions(data, range(samples), usage, **{**defaults, **settings})


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
        {"choices": [{"text": ""}] * 3, "usage": {"prompt_tokens": 1, "completion_tokens": 4}},
        samples=3,
        chat=False,
    )
    assert sum(c.completion_tokens for c in empty) == 4


def test_surplus_choices_are_left() -> None:
    assert len(read({"choices": [{"text": "a"}, {"text": "b"}], "usage": None}, chat=False)) == 1


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 30, "completion_tokens": 20}, (30, 20, False)),
        ({"prompt_tokens": 30.0, "completion_tokens": 20.0}, (30, 20, False)),
        ({"prompt_tokens": 30, "completion_tokens": 0}, (30, 0, False)),
        ({"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 99}, (30, 69, False)),
        ({"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 9}, (30, 5, False)),
        (
            {
                "prompt_tokens": 30,
                "completion_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 64},
            },
            (30, 69, False),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (10, 20, True)),
        (None, (10, 20, True)),
        (7, (10, 20, True)),
        ({"prompt_tokens": "30", "completion_tokens": "20"}, (10, 20, True)),
        ({"prompt_tokens": -3, "completion_tokens": 20}, (10, 20, True)),
        ({"prompt_tokens": 10**23, "completion_tokens": 20}, (10, 20, True)),
        ({"prompt_tokens": 30}, (10, 20, True)),
        ({"prompt_tokens": True, "completion_tokens": 20}, (10, 20, True)),
    ],
)
def test_usage_is_estimated_where_it_is_not_told(usage: Any, tokens: tuple[int, int, bool]) -> None:
    made = read_usage({"usage": usage}, b"x" * 40, b"x" * 80)
    assert (made.prompt_tokens, made.completion_tokens, made.estimated) == tokens


def ended(reason: Any, text: Any = "3 + 8", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "finish_reason": reason, "message": message, **more}]}


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        *(("stop", "stop"), ("eos_token", "stop"), ("end_turn", "stop"), (None, "stop")),
        *(("STOP", "stop"), ("length", "length"), ("MAX_TOKENS", "length"), ("", "stop")),
    ],
)
def test_whole_and_cut_texts_are_kept(reason: Any, kept: str) -> None:
    (completion,) = read(ended(reason))
    assert (completion.text, completion.finish_reason) == ("3 + 8", kept)


@pytest.mark.parametrize("reason", ["error", "abort", "cancelled", "insufficient_system_resource"])
def test_a_text_that_broke_off_is_no_completion(reason: str) -> None:
    with pytest.raises(BadReply, match=f"broke off .*{reason}"):
        read(ended(reason))


def test_an_error_beside_a_text_is_a_text_that_broke_off() -> None:
    with pytest.raises(BadReply, match="Upstream idle timeout"):
        read(ended("stop", error={"code": 502, "message": "Upstream idle timeout"}))


@pytest.mark.parametrize("text", [None, "", "There are 5 at first and "])
def test_a_filtered_text_is_a_refusal_whatever_came_of_it(text: Any) -> None:
    (completion,) = read(ended("content_filter", text))
    assert completion.finish_reason == REFUSED
    assert "There" not in completion.text


def test_good_choices_beside_bad_ones_are_kept_at_their_place() -> None:
    good = {"finish_reason": "stop", "message": {"content": "yes"}}
    bad = {"finish_reason": "stop", "message": {"content": {"odd": 1}}}
    usage = {"prompt_tokens": 5, "completion_tokens": 8}
    made = read({"choices": [bad, good, bad, good], "usage": usage}, samples=4)
    assert [completion.sample_index for completion in made] == [1, 3]
    assert sum(completion.completion_tokens for completion in made) == 8


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ("", "ab")),
        (
            [{"type": "thinking", "thinking": "3 + 8"}, {"type": "text", "text": "11"}],
            ("3 + 8", "11"),
        ),
        ([{"type": "reasoning", "text": "3 + 8"}, {"type": "text", "text": "11"}], ("3 + 8", "11")),
    ],
)
def test_parts_are_joined(content: Any, expected: tuple[str, str]) -> None:
    (completion,) = read(chat({"content": content}))
    assert (completion.reasoning, completion.text) == expected


@pytest.mark.parametrize(
    "content", [[{"type": "image_url"}], [7], [{"type": "text", "text": 7}], [[]], {"odd": 1}]
)
def test_other_contents_are_refused_and_shown(content: Any) -> None:
    with pytest.raises(BadReply, match="no text"):
        read(chat({"content": content}))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"choices": []}, None),
        ({"error": None}, None),
        ({"error": {"message": "m", "code": 429}}, 429),
        ({"error": {"message": "m", "code": "503"}}, 503),
        ({"error": {"message": "m", "code": "rate_limited"}}, 0),
        ({"error": {"message": "m", "code": 7}}, 0),
        ({"error": "plain"}, 0),
        ({"error": {"code": 500}, "choices": [1]}, 500),
        ({"error": {}, "choices": [1]}, None),
    ],
)
def test_an_error_in_a_body_has_the_class_of_its_code(data: Any, status: int | None) -> None:
    assert error_in(data) == status


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
    assert read(chat({"content": text}), prefill=prefill, prefill_sent=sent)[0].text == expected


def test_a_stop_string_inside_begin_does_not_count() -> None:
    assert cut_at_stops("a. b. c.", (".",), 2) == "a. b"
    assert cut_at_stops("abc", ("", "x"), 0) == "abc"


def test_mean_logprob_of_both_apis() -> None:
    content = {"content": [{"logprob": -1.0}, {"logprob": -3.0}]}
    assert (
        read({"choices": [{"message": {"content": "x"}, "logprobs": content}]})[0].logprob == -2.0
    )
    old = {"token_logprobs": [None, -1.0, float("-inf"), float("nan"), -2.0]}
    assert read({"choices": [{"text": "x", "logprobs": old}]}, chat=False)[0].logprob == -1.5


def test_half_a_surrogate_pair_can_be_kept() -> None:
    assert read(json.loads(json.dumps(chat({"content": "x\ud83d"}))))[0].text == "x?"


@pytest.mark.parametrize("written", ['{"a": NaN}', '{"a": -Infinity}', '{"a": "\\ud83d"}'])
def test_json_that_only_lax_readers_take_is_read(written: str) -> None:
    assert parse_json(written.encode()).keys() == {"a"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"message": "m", "metadata": {"raw": "Too Many"}}}', ("m (Too Many)", "")),
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

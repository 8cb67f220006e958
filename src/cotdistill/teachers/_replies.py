"""What an OpenAI-compatible endpoint wrote, read strictly: a reply of the wrong shape is never taken for a completion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from cotdistill.records import Completion
from cotdistill.text.thinking import split_thinking

__all__ = [
    "BadReply",
    "cut_at_stops",
    "error_message",
    "parse_json",
    "read_completions",
    "split_thinking",
]


class BadReply(ValueError):
    """A reply with status 200 that holds no completion; the text says what is wrong with it."""


class _Usage(NamedTuple):
    prompt: int = 0
    completion: int = 0
    cached: int = 0


def parse_json(body: bytes) -> dict[str, Any]:
    """The reply as an object.

    Raises:
        BadReply: it is cut off, no JSON or no object.
    """
    try:
        data = orjson.loads(body)
    except ValueError:
        # What orjson refuses and some servers write: NaN for a log-probability, halves of surrogate pairs.
        try:
            data = json.loads(body)
        except ValueError as error:
            raise BadReply(f"the reply is no whole JSON ({len(body)} bytes)") from error
    if not isinstance(data, dict):
        raise BadReply("the reply is no JSON object")
    return data


def read_completions(
    data: Mapping[str, Any],
    indices: Sequence[int],
    *,
    chat: bool,
    prefill: str,
    begin_sent: bool,
    stop: Sequence[str],
) -> list[Completion]:
    """The completions of one reply, one per choice, at most one per sample index.

    The usage of a call is for all its choices: the first carries the prompt's tokens, and the completion's tokens are
    shared out by length, so that sums are exact. `begin_sent` says that the model continued `begin` and did not write it.

    Raises:
        BadReply: choices are missing or of a wrong type.
    """
    choices = data.get("choices")
    if not isinstance(choices, list):
        raise BadReply("`choices` is no list")
    if not choices:
        raise BadReply("`choices` is empty")
    usage = _usage(data.get("usage"))
    read = [_choice(choice, chat) for choice in choices[: len(indices)]]
    shares = _shares(
        usage.completion, [len(text) + len(reasoning) for text, reasoning, _, _ in read]
    )
    made = []
    for place, (text, reasoning, finish_reason, logprob) in enumerate(read):
        first = place == 0
        made.append(
            Completion(
                cut_at_stops(_with_begin(text, prefill, begin_sent), stop, len(prefill)),
                indices[place],
                reasoning,
                finish_reason,
                usage.prompt if first else 0,
                shares[place],
                usage.cached if first else 0,
                logprob,
            )
        )
    return made


def _choice(choice: Any, chat: bool) -> tuple[str, str, str, float | None]:
    if not isinstance(choice, dict):
        raise BadReply("a choice is no object")
    reasoning: Any = ""
    if chat:
        message = choice.get("message")
        if not isinstance(message, dict):
            raise BadReply("a choice has no message")
        text = message.get("content")
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        text = (
            "" if text is None and (reasoning or choice.get("finish_reason") == "length") else text
        )
    else:
        text = choice.get("text")
    if not isinstance(text, str) or not isinstance(reasoning, str):
        raise BadReply("a choice holds no text")
    thought, text = split_thinking(text)
    finish_reason = choice.get("finish_reason")
    return (
        _whole(text),
        _whole(reasoning or thought),
        finish_reason if isinstance(finish_reason, str) else "stop",
        _mean_logprob(choice.get("logprobs")),
    )


def cut_at_stops(text: str, stop: Sequence[str], start: int) -> str:
    """The text up to the first stop string after `start`; endpoints that ignore `stop` are common."""
    ends = [at for word in stop if word and (at := text.find(word, start)) >= 0]
    return text[: min(ends)] if ends else text


def _with_begin(text: str, prefill: str, sent: bool) -> str:
    if not prefill:
        return text
    if sent:
        # Some servers repeat the message they were given to continue.
        return text if len(prefill) >= 8 and text.startswith(prefill) else prefill + text
    bare, wanted = text.lstrip(), prefill.lstrip()
    if wanted and bare.startswith(wanted):
        return prefill + bare[len(wanted) :]
    gap = "" if prefill[-1].isspace() or not bare else " "
    return prefill + gap + bare


def _usage(usage: Any) -> _Usage:
    if not isinstance(usage, dict):
        return _Usage()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return _Usage(
        _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached)
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _shares(total: int, lengths: Sequence[int]) -> list[int]:
    """`total` shared out in proportion to `lengths`; the shares sum up to it exactly."""
    if len(lengths) == 1:
        return [total]
    whole, given, seen = sum(lengths) or len(lengths), 0, 0
    shares = []
    for length in lengths:
        seen += length if sum(lengths) else 1
        upto = total * seen // whole
        shares.append(upto - given)
        given = upto
    return shares


def _mean_logprob(logprobs: Any) -> float | None:
    if not isinstance(logprobs, dict):
        return None
    content = logprobs.get("content")
    values = logprobs.get("token_logprobs")
    if isinstance(content, list):
        values = [item.get("logprob") for item in content if isinstance(item, dict)]
    numbers = [value for value in values or [] if isinstance(value, int | float)]
    return sum(numbers) / len(numbers) if numbers else None


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def error_message(body: bytes) -> tuple[str, str]:
    """The message and code of an error reply in any of the usual shapes, on one line of at most 300 characters."""
    code = ""
    try:
        data = json.loads(body)
    except ValueError:
        data = body.decode("utf-8", "replace")
    if isinstance(data, dict):
        error = data.get("error", data.get("detail", data.get("message", data)))
        if isinstance(error, dict):
            code = str(error.get("code") or error.get("type") or "")
            error = error.get("message", error)
        data = error
    text = data if isinstance(data, str) else json.dumps(data)
    return " ".join(text.split())[:300], code

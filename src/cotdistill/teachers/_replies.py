"""Strict reading of the replies of an OpenAI-compatible endpoint.

A reply of the wrong shape is never taken for a completion. Each choice is judged by its own
`finish_reason`: a whole or cut text is kept, a refusal is kept as a refusal, anything else (broken
off, unknown) is left out, so that the caller asks for that sample again.
"""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import orjson

from cotdistill.contracts import Usage
from cotdistill.records import REFUSED, Completion
from cotdistill.text.finish import judged
from cotdistill.text.thinking import split_thinking
from cotdistill.util.terminal import shortened


class BadReply(ValueError):
    """A reply with status 200 that holds no completion; the text says what is wrong with it."""


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the reply as an object.

    Raises:
        BadReply: it is cut off, no JSON or no object.
    """
    try:
        data = orjson.loads(body)
    except ValueError:
        # What orjson refuses and some servers write: NaN as a log-probability, half surrogates.
        try:
            data = json.loads(body.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError) as error:
            raise BadReply(f"the reply is no whole JSON ({_shown(body)})") from error
    if not isinstance(data, dict):
        raise BadReply(f"the reply is no JSON object ({_shown(body)})")
    return data


def error_in(data: Mapping[str, Any]) -> int | None:
    """Return the status that an `error` inside a reply stands for; None where there is none.

    0 is an error without a code: other requests' outcomes tell its meaning.
    """
    error = data.get("error")
    if not error:
        return None
    code = error.get("code") if isinstance(error, dict) else None
    try:
        status = int(code) if isinstance(code, int | str) else 0
    except ValueError:
        return 0
    return status if 400 <= status < 600 else 0


def read_completions(
    data: Mapping[str, Any],
    indices: Sequence[int],
    usage: Usage,
    *,
    chat: bool,
    prefill: str,
    prefill_sent: bool,
    stop: Sequence[str],
) -> list[Completion]:
    """Return the completions of one reply, at most one per sample index; broken ones are left out.

    The usage of a call is for all its choices: the first that is kept carries the prompt's tokens,
    and the reply's tokens are shared out by length, so that sums are exact. `prefill_sent` says
    that the model continued `prefill` and did not write it.

    Raises:
        BadReply: there is no choice that can be kept; the message shows the reply.
    """
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise BadReply(f"no choices in the reply ({_shown(data)})")
    kept: list[tuple[int, str, str, str, float | None]] = []
    problem = ""
    for index, choice in zip(indices, choices, strict=False):
        try:
            text, reasoning, reason, logprob = _choice(choice, chat)
        except BadReply as error:
            problem = problem or str(error)
            continue
        if reason != REFUSED:
            text = cut_at_stops(_with_prefill(text, prefill, prefill_sent), stop, len(prefill))
        kept.append((index, text, reasoning, reason, logprob))
    if not kept:
        raise BadReply(problem)
    shares = _shares(usage.completion_tokens, [len(one[1]) + len(one[2]) for one in kept])
    prompt_tokens, cached = usage.prompt_tokens, usage.cached_prompt_tokens
    made = []
    for (index, text, reasoning, reason, logprob), share in zip(kept, shares, strict=True):
        counts = prompt_tokens, share, cached
        made.append(Completion(text, index, reasoning, reason, *counts, logprob))
        prompt_tokens = cached = 0
    return made


def _choice(choice: Any, chat: bool) -> tuple[str, str, str, float | None]:
    """Text, reasoning, judged finish reason and log-probability of one choice."""
    if not isinstance(choice, dict):
        raise BadReply(f"a choice is no object ({_shown(choice)})")
    source = choice.get("message") if chat else choice
    if not isinstance(source, dict):
        raise BadReply(f"a choice has no message ({_shown(choice)})")
    written = choice.get("finish_reason")
    written = written if isinstance(written, str) and written else "stop"
    reason = judged(written)
    if choice.get("error") or reason is None:
        raise BadReply(f"the reply broke off (finish_reason {written!r}, {_shown(choice)})")
    refusal = source.get("refusal")
    if reason == REFUSED or (isinstance(refusal, str) and refusal):
        words = refusal if isinstance(refusal, str) and refusal else f"finish_reason {written!r}"
        return f"refused by the endpoint: {shortened(words)}", "", REFUSED, None
    text, thought = _text(source.get("content" if chat else "text"))
    field = source.get("reasoning_content") or source.get("reasoning")
    reasoning = field if isinstance(field, str) else thought
    if text is None and not (reasoning or reason == "length"):
        raise BadReply(f"a choice holds no text ({_shown(choice)})")
    text = text or ""
    inside, text = split_thinking(text)
    reasoning = reasoning or inside
    return (
        _whole(text),
        _whole(reasoning),
        reason,
        _mean_logprob(choice.get("logprobs")),
    )


def _text(content: Any) -> tuple[str | None, str]:
    """The text and the thinking of a content: a text, or a list of parts of both kinds."""
    if content is None or isinstance(content, str):
        return content, ""
    texts: list[str] = []
    thoughts: list[str] = []
    if not isinstance(content, list):
        raise BadReply(f"a choice holds no text ({_shown(content)})")
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in ("thinking", "reasoning"):
            inner, _ = _text(part.get(kind, part.get("text")))
            thoughts.append(inner or "")
        else:
            raise BadReply(f"a choice has a part that is no text ({_shown(part)})")
    return "".join(texts), "".join(thoughts)


def cut_at_stops(text: str, stop: Sequence[str], start: int) -> str:
    """Return the text up to the first stop string after `start`; some endpoints ignore `stop`."""
    ends = [at for word in stop if word and (at := text.find(word, start)) >= 0]
    return text[: min(ends)] if ends else text


def _with_prefill(text: str, prefill: str, sent: bool) -> str:
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


def read_usage(data: Mapping[str, Any], request: bytes, reply: bytes) -> Usage:
    """Return the tokens a call was charged for; estimated where the endpoint does not say.

    The estimate is a token for four bytes, of the whole request and the whole reply. A reply's
    thinking stands in the total alone with Google and xAI, and is charged. No prompt has 0 tokens.
    """
    usage = data.get("usage")
    if isinstance(usage, dict):
        prompt, completion = (
            _count(usage.get("prompt_tokens")),
            _count(usage.get("completion_tokens")),
        )
        if prompt and completion is not None:
            completion = max(completion, (_count(usage.get("total_tokens")) or 0) - prompt)
            thought = usage.get("completion_tokens_details")
            thought = _count(thought.get("reasoning_tokens")) if isinstance(thought, dict) else 0
            # More than the reply has: then it does not count them.
            completion += thought if thought and thought > completion else 0
            details = usage.get("prompt_tokens_details")
            cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
            return Usage(prompt, completion, min(cached or 0, prompt))
    return Usage(len(request) // 4, len(reply) // 4, estimated=True)


def reported_usage(reply: bytes) -> Usage | None:
    """Return what an error reply says it cost; None where it says nothing."""
    try:
        usage = read_usage(parse_json(reply), b"", b"")
    except BadReply:
        return None
    return None if usage.estimated else usage


def _count(value: Any) -> int | None:
    """Return a number of tokens; None for what is none (SQLite holds 63 bits)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40
    return int(value) if good else None


def _shares(total: int, lengths: Sequence[int]) -> list[int]:
    """Return `total` shared out in proportion to `lengths`; the shares sum up to it exactly."""
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
    if not isinstance(values, list):
        return None
    # Some servers write -Infinity, which no JSON can hold, for a token that was all but impossible.
    numbers = [value for value in values if isinstance(value, int | float) and isfinite(value)]
    return sum(numbers) / len(numbers) if numbers else None


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def error_message(body: bytes) -> tuple[str, str]:
    """Return message and code of an error reply in any usual shape, on one short line."""
    code = ""
    try:
        data = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        data = body.decode("utf-8", "replace")
    if isinstance(data, dict):
        code = _code(data)
        error = data.get("error", data.get("detail", data.get("message", data)))
        if isinstance(error, dict):
            code = _code(error) or code
            raw = error.get("metadata")
            raw = raw.get("raw") if isinstance(raw, dict) else None
            error = error.get("message", error)
            error = f"{error} ({raw})" if isinstance(raw, str) and raw else error
        data = error
    return shortened(data if isinstance(data, str) else _json(data)), code


def _code(error: Mapping[str, Any]) -> str:
    codes = (error.get("code"), error.get("type"), error.get("error_type"))
    return shortened(" ".join(str(code) for code in codes if isinstance(code, str | int)))


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes: {shortened(value[:800].decode('utf-8', 'replace'), 200)}"
    return shortened(_json(value), 200)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return type(value).__name__

"""Any OpenAI-compatible endpoint: a hosted model, vLLM, SGLang, llama.cpp, Ollama, `transformers serve`.

The key is read from the environment variable `key_env` and from nowhere else; it is in no recipe, log or message. On a
chat endpoint `begin` is sent as the start of the reply where the server can continue one (`prefill`, as vLLM can),
else asked for in words; the returned text starts with it either way. See docs/teachers.md.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from cotdistill.contracts import Model, Teacher
from cotdistill.errors import QuestionFailed, UserError
from cotdistill.pricing import Price, known_price
from cotdistill.records import Completion, Message, Request

if TYPE_CHECKING:
    from cotdistill.asking import Hooks
    from cotdistill.teachers._endpoint import Endpoint

__all__ = ["OpenAI"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_RESERVED = {"model", "messages", "prompt", "n", "temperature", "top_p", "stop", "stream", "seed"}


class OpenAI(Teacher):
    """Any OpenAI-compatible endpoint, chat or completions, with limits, retries, budget and a durable log.

    Everything that determines a reply (model, base_url, api, system, extra_body, omit, prefill, seed) is part of the
    log's key; limits and prices are not.
    """

    model: str
    base_url: str = "https://api.openai.com/v1"
    api: Literal["chat", "completions"] = "chat"
    key_env: str = "OPENAI_API_KEY"
    system: str = ""
    extra_body: Mapping[str, Any] = {}
    omit: tuple[str, ...] = ()
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    prefill: bool = False
    seed: int | None = None
    logprobs: bool = False
    samples_per_call: int = Field(16, ge=1)
    max_in_flight: int = Field(128, ge=1)
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    timeout_s: float = Field(300.0, gt=0)
    total_timeout_s: float = Field(3600.0, gt=0)
    patience_s: float = Field(600.0, ge=0)
    connect_patience_s: float = Field(10.0, ge=0)
    retries: int = Field(6, ge=0)
    input_price: float | None = Field(None, ge=0)
    cached_input_price: float | None = Field(None, ge=0)
    output_price: float | None = Field(None, ge=0)

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is no address; write it like http://localhost:8000/v1")
        if parts.username or parts.password:
            raise ValueError("a key does not belong into the address; put it into the variable named by `key_env`")
        return value.rstrip("/")

    @field_validator("extra_body")
    @classmethod
    def _check_extra(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if taken := sorted(_RESERVED & value.keys()):
            raise ValueError(f"{taken[0]!r} has a setting or is decided by the method; remove it from extra_body")
        return value

    def open(self) -> Model:
        from cotdistill.teachers._endpoint import Endpoint, Limits

        limits = Limits(
            self.max_in_flight,
            self.requests_per_minute,
            self.tokens_per_minute,
            self.timeout_s,
            self.total_timeout_s,
            self.patience_s,
            self.connect_patience_s,
            self.retries,
        )
        return _Endpointed(self, Endpoint(self.base_url, self._key(), limits))

    def _key(self) -> SecretStr | None:
        value = os.environ.get(self.key_env, "").strip()
        if value:
            return SecretStr(value)
        if urlsplit(self.base_url).hostname in _LOOPBACK:
            return None
        raise UserError(
            f"teacher openai: no key for {self.base_url}; set the environment variable {self.key_env} "
            "(or name another one in `key_env`)"
        )


class _Endpointed:
    """The live model behind the settings."""

    def __init__(self, settings: OpenAI, endpoint: Endpoint) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._path = "/chat/completions" if settings.api == "chat" else "/completions"
        self._per_call = 1 if settings.seed is not None else settings.samples_per_call

    def identity(self) -> Mapping[str, Any]:
        settings = self._settings
        return {
            "teacher": "openai",
            "model": settings.model,
            "base_url": settings.base_url,
            "api": settings.api,
            "system": settings.system,
            "extra_body": dict(settings.extra_body),
            "omit": sorted(settings.omit),
            "prefill": settings.prefill,
            "seed": settings.seed,
        }

    @cached_property
    def price(self) -> Price | None:
        settings = self._settings
        if settings.input_price is not None or settings.output_price is not None:
            return Price(settings.input_price or 0.0, settings.output_price or 0.0, settings.cached_input_price)
        if urlsplit(settings.base_url).hostname in _LOOPBACK:
            return None
        return known_price(settings.model, settings.base_url)

    def attach(self, hooks: Hooks) -> None:
        self._endpoint.before_send = hooks.before_send
        self._endpoint.count = hooks.count

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        """One completion per index; fewer where some calls failed for good and others were answered (and paid)."""
        if len(sample_indices) <= self._per_call:
            return await self._call(request, sample_indices)
        step = self._per_call
        groups = [sample_indices[at : at + step] for at in range(0, len(sample_indices), step)]
        results = await asyncio.gather(*(self._call(request, group) for group in groups), return_exceptions=True)
        made = [completion for result in results if isinstance(result, list) for completion in result]
        errors = [result for result in results if isinstance(result, BaseException)]
        final = [error for error in errors if not isinstance(error, QuestionFailed)]
        if final or (errors and not made):
            raise (final or errors)[0]
        return made

    async def _call(self, request: Request, indices: Sequence[int]) -> list[Completion]:
        from cotdistill.teachers._endpoint import BadRequest
        from cotdistill.teachers._replies import parse_json, read_completions

        settings = self._settings
        chat = settings.api == "chat"

        def read(reply: bytes) -> list[Completion]:
            return read_completions(
                parse_json(reply),
                indices,
                chat=chat,
                begin=request.begin,
                begin_sent=settings.prefill or not chat,
                stop=request.stop,
            )

        body = self._body(request, indices)
        estimate = len(body) // 4 + request.max_tokens * len(indices)
        try:
            made = await self._endpoint.post(self._path, body, read, estimate)
        except BadRequest:
            if len(indices) == 1:
                raise
            # The endpoint may refuse `n`: from now on one sample a call. A truly bad request fails there again.
            self._per_call = 1
            return await self.complete(request, indices)
        self._endpoint.pace.correct(estimate, sum(c.prompt_tokens + c.completion_tokens for c in made))
        if len(made) < len(indices):
            self._per_call = max(1, min(self._per_call, len(made)))
            made += await self.complete(request, indices[len(made) :])
        return made

    def _body(self, request: Request, indices: Sequence[int]) -> bytes:
        settings = self._settings
        fields: dict[str, Any] = {"model": settings.model}
        if settings.api == "chat":
            fields["messages"] = self._messages(request)
            if request.begin and settings.prefill:
                fields |= {"continue_final_message": True, "add_generation_prompt": False}
        elif isinstance(request.prompt, str):
            fields["prompt"] = request.prompt + request.begin
        else:
            raise UserError("teacher openai: this method's prompts are chat messages; set `api: chat`")
        fields |= {"temperature": request.temperature, "top_p": request.top_p}
        fields[settings.max_tokens_field] = request.max_tokens
        if request.stop:
            fields["stop"] = list(request.stop)
        if len(indices) > 1:
            fields["n"] = len(indices)
        if settings.seed is not None:
            fields["seed"] = settings.seed + indices[0]
        if settings.logprobs:
            fields["logprobs"] = True if settings.api == "chat" else 1
        for name in settings.omit:
            fields.pop(name, None)
        return json.dumps({**fields, **settings.extra_body}).encode()

    def _messages(self, request: Request) -> list[dict[str, Any]]:
        prompt = request.prompt
        messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        made = [message.to_json() for message in messages]
        if self._settings.system:
            made.insert(0, {"role": "system", "content": self._settings.system})
        if request.begin and self._settings.prefill:
            made.append({"role": "assistant", "content": request.begin})
        elif request.begin:
            made[-1]["content"] += f"\n\nBegin your reply with exactly this text, then go on:\n{request.begin}"
        return made

    async def close(self) -> None:
        await self._endpoint.close()

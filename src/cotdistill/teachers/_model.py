"""The live model behind the `openai` teacher: what a request looks like on the wire, and how many samples go into one call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from cotdistill.errors import QuestionFailed, UserError
from cotdistill.model.pricing import Price, known_price
from cotdistill.records import Completion, Message, Request
from cotdistill.teachers._batches import Batches
from cotdistill.teachers._endpoint import BadRequest, Endpoint
from cotdistill.teachers._replies import parse_json, read_completions
from cotdistill.teachers._settings import EndpointSettings

if TYPE_CHECKING:
    from cotdistill.model.client import Hooks

__all__ = ["EndpointModel"]


class EndpointModel:
    """A model at an endpoint: builds requests, reads replies, shares samples out over calls."""

    def __init__(self, settings: EndpointSettings, endpoint: Endpoint) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._path = "/chat/completions" if settings.api == "chat" else "/completions"
        self._batches: Batches | None = None
        if settings.batch:
            self._batches = Batches(
                endpoint,
                self._path,
                size=settings.batch_size,
                gather_s=settings.batch_gather_s,
                poll_s=settings.batch_poll_s,
                retries=settings.retries,
            )
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
            return Price(
                settings.input_price or 0.0,
                settings.output_price or 0.0,
                settings.cached_input_price,
            )
        if settings.is_local:
            return None
        listed = known_price(settings.model, settings.base_url)
        return listed.halved() if listed is not None and settings.batch else listed

    def attach(self, hooks: Hooks) -> None:
        self._endpoint.before_send = hooks.before_send
        self._endpoint.count = hooks.count
        if self._batches is not None:
            self._batches.before_send, self._batches.log = hooks.before_send, hooks.log

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        """One completion per index; fewer where some calls failed for good and others were answered (and paid)."""
        if len(sample_indices) <= self._per_call:
            return await self._call(request, sample_indices)
        step = self._per_call
        groups = [sample_indices[at : at + step] for at in range(0, len(sample_indices), step)]
        results = await asyncio.gather(
            *(self._call(request, group) for group in groups), return_exceptions=True
        )
        made = [
            completion for result in results if isinstance(result, list) for completion in result
        ]
        errors = [result for result in results if isinstance(result, BaseException)]
        final = [error for error in errors if not isinstance(error, QuestionFailed)]
        if final or (errors and not made):
            raise (final or errors)[0]
        return made

    async def _call(self, request: Request, indices: Sequence[int]) -> list[Completion]:
        settings = self._settings
        chat = settings.api == "chat"

        def read(reply: bytes) -> list[Completion]:
            return read_completions(
                parse_json(reply),
                indices,
                chat=chat,
                prefill=request.prefill,
                begin_sent=settings.prefill or not chat,
                stop=request.stop,
            )

        body = self._body(request, indices)
        estimate = len(body) // 4 + request.max_tokens * len(indices)
        try:
            if self._batches is not None:
                made = await self._batches.ask(body, indices[0], read)
            else:
                made = await self._endpoint.post(self._path, body, read, estimate)
        except BadRequest:
            if len(indices) == 1:
                raise
            # The endpoint may refuse `n`: from now on one sample a call. A truly bad request fails there again.
            self._per_call = 1
            return await self.complete(request, indices)
        self._endpoint.pace.correct(
            estimate, sum(c.prompt_tokens + c.completion_tokens for c in made)
        )
        if len(made) < len(indices):
            self._per_call = max(1, min(self._per_call, len(made)))
            made += await self.complete(request, indices[len(made) :])
        return made

    def _body(self, request: Request, indices: Sequence[int]) -> bytes:
        settings = self._settings
        fields: dict[str, Any] = {"model": settings.model}
        if settings.api == "chat":
            fields["messages"] = self._messages(request)
            if request.prefill and settings.prefill:
                fields |= {"continue_final_message": True, "add_generation_prompt": False}
        elif isinstance(request.prompt, str):
            fields["prompt"] = request.prompt + request.prefill
        else:
            raise UserError(
                "teacher openai: this method's prompts are chat messages; set `api: chat`"
            )
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
        fields |= settings.extra_body
        try:
            return orjson.dumps(fields)
        except (
            TypeError
        ):  # halves of surrogate pairs, or numbers and keys that only Python's JSON writes
            return json.dumps(fields).encode()

    def _messages(self, request: Request) -> list[dict[str, str]]:
        prompt = request.prompt
        messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        made = [{"role": message.role, "content": message.content} for message in messages]
        if self._settings.system:
            made.insert(0, {"role": "system", "content": self._settings.system})
        if request.prefill and self._settings.prefill:
            made.append({"role": "assistant", "content": request.prefill})
        elif request.prefill:
            made[-1]["content"] += (
                f"\n\nBegin your reply with exactly this text, then go on:\n{request.prefill}"
            )
        return made

    async def close(self) -> None:
        if self._batches is not None:
            await self._batches.close()
        await self._endpoint.close()

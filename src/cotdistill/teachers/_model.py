"""The live model behind `openai`: a request on the wire, and how many samples go into one call."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import orjson

from cotdistill.contracts import Meter, Price, Usage
from cotdistill.errors import QuestionFailed, UserError
from cotdistill.model.pricing import known_price
from cotdistill.records import Completion, Message, Request
from cotdistill.teachers._batches import Batches
from cotdistill.teachers._endpoint import Endpoint, Refused
from cotdistill.teachers._replies import read_completions
from cotdistill.teachers._settings import EndpointSettings


class EndpointModel:
    """A model at an endpoint: builds requests, reads replies, shares samples out over calls."""

    def __init__(self, settings: EndpointSettings, endpoint: Endpoint) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._path = "/chat/completions" if settings.api == "chat" else "/completions"
        self._batches = Batches(endpoint, settings, self._path) if settings.batch else None
        self._per_call = 1 if settings.seed is not None else settings.samples_per_call
        self._takes_n = settings.batch
        """True once a call for several samples has been answered (a batch is no place to try it).
        """
        self._trying_n = asyncio.Lock()

    def identity(self) -> Mapping[str, Any]:
        """Return what determines a reply besides the request."""
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
        """The recipe's price, or the list price of a hosted model."""
        settings = self._settings
        if settings.input_price is not None and settings.output_price is not None:
            cached = settings.cached_input_price
            return Price(settings.input_price, settings.output_price, cached)
        if settings.is_local:
            return None
        share = 0.5 if settings.batch else 1.0
        return known_price(settings.model, settings.base_url, share)

    def attach(self, meter: Meter) -> None:
        """Book all calls with this meter."""
        self._endpoint.attach(meter)

    def present(self, completion: Completion) -> Completion:
        """Return a completion whose text is what the setting `rationale` says.

        Nothing is asked again where the setting changes: the log keeps reply and reasoning apart.
        """
        text, reasoning, wanted = completion.text, completion.reasoning, self._settings.rationale
        if not reasoning:
            return completion
        if wanted == "auto":
            if completion.is_bare:
                self._endpoint.say_once(
                    "replies are the answer alone: the reasoning beside them is the rationale"
                    " (the teacher's setting `rationale` chooses)"
                )
            return completion
        if wanted == "reasoning":
            text = reasoning
        elif wanted == "both":
            text = f"{reasoning}\n{text}"
        return replace(completion, text=text, reasoning="")

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        """Return one completion per index; fewer where some failed and others were answered."""
        step = self._per_call
        groups = [sample_indices[at : at + step] for at in range(0, len(sample_indices), step)]
        if len(groups) == 1:
            return await self._call(request, sample_indices)
        results = await asyncio.gather(
            *(self._call(request, group) for group in groups), return_exceptions=True
        )
        made = [one for result in results if isinstance(result, list) for one in result]
        errors = [result for result in results if isinstance(result, BaseException)]
        final = [error for error in errors if not isinstance(error, QuestionFailed)]
        if final or (errors and not made):
            raise (final or errors)[0]
        return made

    async def _call(self, request: Request, indices: Sequence[int]) -> list[Completion]:
        """Ask in one call; the first one for several samples goes alone, as it may be refused."""
        if len(indices) == 1 or self._takes_n:
            return await self._ask(request, indices)
        async with self._trying_n:
            if not self._takes_n and self._per_call > 1:
                return await self._ask(request, indices)
        return await self.complete(request, indices)

    async def _ask(self, request: Request, indices: Sequence[int]) -> list[Completion]:
        """Ask in one call; what is missing of its reply is asked for again, and only that."""
        settings = self._settings
        chat = settings.api == "chat"
        body = self._body(request, indices)
        choices = 0

        def read(data: dict[str, Any], usage: Usage) -> list[Completion]:
            nonlocal choices
            made = read_completions(
                data,
                indices,
                usage,
                chat=chat,
                prefill=request.prefill,
                prefill_sent=settings.prefill or not chat,
                stop=request.stop,
            )
            choices = len(data["choices"])
            return made

        most = Usage(len(body) // 2, request.max_tokens * len(indices))
        try:
            if self._batches is not None:
                made = await self._batches.ask(body, indices[0], most, read)
            else:
                made = await self._endpoint.post(self._path, body, most, read)
        except Refused:
            if len(indices) == 1 or self._takes_n:
                raise
            # The endpoint may refuse `n`. Where it takes the request without, it does.
            first = await self._ask(request, indices[:1])
            self._per_call = 1
            return first + await self._rest(request, indices[1:])
        if choices < len(indices):
            self._per_call = max(1, min(self._per_call, choices))
        self._takes_n = self._takes_n or choices > 1
        if len(made) == len(indices):
            return made
        there = {completion.sample_index for completion in made}
        return made + await self._rest(request, [index for index in indices if index not in there])

    async def _rest(self, request: Request, indices: Sequence[int]) -> list[Completion]:
        """Ask for the rest of a call; that the rest fails takes nothing from what was answered."""
        try:
            return await self.complete(request, indices)
        except QuestionFailed as error:
            self._endpoint.meter.count(f"samples failed: {error.reason}")
            return []

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
        except TypeError:  # halves of surrogate pairs, numbers and keys only Python's JSON writes
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
        """Close the connections; batches under way stay noted."""
        if self._batches is not None:
            await self._batches.close()
        await self._endpoint.close()

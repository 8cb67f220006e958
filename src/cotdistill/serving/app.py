"""The server: a system behind OpenAI's chat completions, on Starlette and uvicorn.

Requests are answered by the system's own batching engine, many at once. What cannot be answered is
refused in OpenAI's form: 400 for a wrong request, 401 for a missing key, 404 for another model, 408
for a slow client, 413 for a large body, 429 with `Retry-After` where too many wait. A client that
goes away takes its question out of the batch.
"""

import asyncio
import hmac
import math
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cotdistill.errors import BudgetSpent, QuestionFailed, TeacherError, UserError
from cotdistill.serving._patience import PatientProtocol
from cotdistill.serving.asks import Unsupported
from cotdistill.serving.metrics import Metrics
from cotdistill.serving.protocol import (
    ApiError,
    ChatRequest,
    ReplyWriter,
    error_event,
    read_request,
)
from cotdistill.serving.system import Reply, System

_Result = TypeVar("_Result")

_GONE = 499
"""Status, in the metrics alone, of a request whose client went away."""


@dataclass(frozen=True)
class ServerSettings:
    """Name, key and limits of a server; seconds, bytes and characters."""

    name: str
    api_key: str = ""
    most_waiting: int = 1024
    largest_body: int = 262_144
    longest_question: int = 20_000
    read_timeout: float = 30.0
    answer_timeout: float = 300.0


def make_server(system: System, settings: ServerSettings) -> uvicorn.Server:
    """Return a server that is not started yet; `run(sockets=[…])` serves until a signal."""
    config = uvicorn.Config(
        make_app(system, settings),
        http=partial(PatientProtocol, settings.read_timeout),  # type: ignore[arg-type]
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=30,
        h11_max_incomplete_event_size=16_384,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        UserError: the address cannot be listened on.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise UserError(f"{host}:{port}: cannot listen ({error}); choose another --port") from error


def make_app(system: System, settings: ServerSettings) -> Starlette:
    """Return the application."""
    front = _Front(system, settings)
    routes = [
        Route("/v1/chat/completions", front.chat, methods=["POST"]),
        Route("/v1/models", front.models),
        Route("/health", front.health),
        Route("/metrics", front.metrics_page),
    ]
    return Starlette(
        routes=routes,
        exception_handlers={
            ApiError: front.refused,
            HTTPException: front.no_such_page,
            Exception: front.broken,
        },
    )


class _Front:
    """The pages of one server."""

    def __init__(self, system: System, settings: ServerSettings) -> None:
        self._system, self._settings = system, settings
        self._metrics = Metrics()
        self._started = int(time.time())
        self._waiting = 0
        self._usual_seconds = 1.0

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def metrics_page(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def models(self, request: Request) -> Response:
        self._check_key(request)
        one = {"id": self._settings.name, "object": "model", "created": self._started}
        one |= {"owned_by": "cotdistill", "cotdistill": self._system.chosen.to_json()}
        return _json({"object": "list", "data": [one]})

    async def chat(self, request: Request) -> Response:
        self._check_key(request)
        chat = read_request(
            await self._body(request), longest_question=self._settings.longest_question
        )
        if chat.model != self._settings.name:
            message = f"no model {chat.model!r} here; there is {self._settings.name!r}"
            raise ApiError(404, message, param="model", code="model_not_found")
        self._refuse_too_many(chat.n)
        if chat.stream:
            return await self._streamed(request, chat)
        async with self._counted(chat.n):
            replies = await self._unless_gone(request, self._replies(chat))
        self._finished(200)
        return _json(ReplyWriter(self._settings.name, chat).whole(replies))

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        self._finished(error.status)
        # The rest of a body that was refused is not read, so the connection ends here.
        headers = {"Connection": "close"} if error.status in (408, 413) else {}
        return _json(error.to_json(), error.status, error.headers | headers)

    async def no_such_page(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = f"{request.method} {request.url.path}: {error.detail}"
        return await self.refused(request, ApiError(error.status_code, message))

    async def broken(self, request: Request, error: Exception) -> Response:
        """Tell the client no more than that; uvicorn logs the error."""
        return await self.refused(request, ApiError(500, "the server failed; its log says why"))

    def _check_key(self, request: Request) -> None:
        if not self._settings.api_key:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        wanted = self._settings.api_key.encode()
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode("latin-1"), wanted
        ):
            message = "wrong or missing API key: send `Authorization: Bearer KEY`"
            raise ApiError(401, message, code="invalid_api_key")

    async def _body(self, request: Request) -> bytes:
        most, body = self._settings.largest_body, bytearray()
        try:
            async with asyncio.timeout(self._settings.read_timeout):
                async for piece in request.stream():
                    body += piece
                    if len(body) > most:
                        raise ApiError(413, f"the body is over {most} bytes")
        except TimeoutError as error:
            raise ApiError(408, "the body did not arrive in time") from error
        except ClientDisconnect as error:
            raise ApiError(_GONE, "the client went away") from error
        return bytes(body)

    def _refuse_too_many(self, wanted: int) -> None:
        if self._waiting + wanted > self._settings.most_waiting:
            seconds = str(math.ceil(min(self._usual_seconds, 60.0)))
            message = f"{self._waiting} answers are under way; ask again in {seconds} s"
            raise ApiError(
                429, message, code="rate_limit_exceeded", headers={"Retry-After": seconds}
            )

    @asynccontextmanager
    async def _counted(self, answers: int) -> AsyncIterator[None]:
        started = time.monotonic()
        self._waiting += answers
        self._metrics.in_flight.set(self._waiting)
        try:
            yield
        finally:
            self._waiting -= answers
            self._metrics.in_flight.set(self._waiting)
            seconds = time.monotonic() - started
            self._metrics.seconds.observe(seconds)
            self._usual_seconds += 0.05 * (seconds - self._usual_seconds)

    def _finished(self, status: int) -> None:
        self._metrics.requests.labels(str(status)).inc()

    async def _replies(
        self, chat: ChatRequest, on_text: Callable[[int, str], None] | None = None
    ) -> list[Reply]:
        """Answer all choices of a request; the failure of one ends the others.

        Raises:
            ApiError: one failed, or all took too long.
        """
        samplings = chat.samplings(random.getrandbits(31))
        heard = [partial(on_text, index) if on_text else None for index in range(chat.n)]
        try:
            async with asyncio.timeout(self._settings.answer_timeout), asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._system.reply(chat.question, sampling, hear))
                    for sampling, hear in zip(samplings, heard, strict=True)
                ]
        except TimeoutError as error:
            raise ApiError(504, "no answer in time", code="timeout") from error
        except BaseExceptionGroup as errors:
            raise _api_error(errors.exceptions[0]) from errors
        replies = [task.result() for task in tasks]
        for reply in replies:
            self._metrics.count(reply)
        return replies

    async def _unless_gone(self, request: Request, work: Awaitable[_Result]) -> _Result:
        """Return what comes of the work, or cancel it as soon as the client goes away."""
        answering = asyncio.ensure_future(work)
        # The body has been read, so the next message of the connection is its end.
        gone = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise ApiError(_GONE, "the client went away")
            return answering.result()
        finally:
            for task in (answering, gone):
                task.cancel()
            with suppress(asyncio.CancelledError, ApiError):
                await answering

    async def _streamed(self, request: Request, chat: ChatRequest) -> Response:
        """Return a stream; what fails before the first piece of text is refused with its status."""
        events = self._events(chat)
        first = await self._unless_gone(request, anext(events))
        return StreamingResponse(_chained(first, events), media_type="text/event-stream")

    async def _events(self, chat: ChatRequest) -> AsyncIterator[bytes]:
        writer, loop = ReplyWriter(self._settings.name, chat), asyncio.get_running_loop()
        said: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()

        def heard(index: int, text: str) -> None:  # called in the system's thread
            loop.call_soon_threadsafe(said.put_nowait, (index, text))

        async with self._counted(chat.n):
            answering = asyncio.ensure_future(self._replies(chat, heard))
            answering.add_done_callback(lambda _: said.put_nowait(None))
            begun = set[int]()
            try:
                while (piece := await said.get()) is not None:
                    index, text = piece
                    role = {} if index in begun else {"role": "assistant"}
                    begun.add(index)
                    yield writer.chunk(index, {**role, "reasoning_content": text})
                replies = await answering
            except ApiError as error:
                if not begun:
                    raise
                self._finished(error.status)
                yield error_event(error)
                return
            except (asyncio.CancelledError, GeneratorExit):
                self._finished(_GONE)
                raise
            finally:
                answering.cancel()
        self._finished(200)
        for index, reply in enumerate(replies):
            if index not in begun:
                whole = {"role": "assistant", "reasoning_content": reply.answer.text}
                yield writer.chunk(index, whole)
            yield writer.chunk(index, {"content": reply.answer.answer or ""})
            yield writer.chunk(index, {}, reply.finish_reason)
        yield writer.last(replies)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for event in rest:
        yield event


def _api_error(error: BaseException) -> ApiError:
    """Return how a client is told of a failure.

    Raises:
        BaseException: it is none that is known: the server's own fault.
    """
    if isinstance(error, Unsupported):
        return ApiError(400, str(error), param=error.setting, code="unsupported_parameter")
    if isinstance(error, QuestionFailed) and error.reason == "prompt too long":
        return ApiError(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, BudgetSpent):
        return ApiError(503, str(error), code="budget_spent")
    if isinstance(error, TeacherError):
        return ApiError(502, f"a model behind this server failed: {error}", code="model_failed")
    if isinstance(error, UserError):
        return ApiError(400, str(error))
    raise error


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, "application/json")

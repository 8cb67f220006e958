"""OpenAI's chat completions as this server speaks them: requests checked, replies written.

    {"model": "demo", "messages": [{"role": "user", "content": "3 + 8?"}], "seed": 1}

The last message is the question; a distilled student knows single questions, so the messages before
it are not read, and the reply says how many those were. A parameter without effect here is refused
unless it has its neutral value: nothing is dropped without a word.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cotdistill.serving.asks import Sampling
from cotdistill.serving.system import Reply

_NEUTRAL: dict[str, Any] = {
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
    "tools": [],
    "tool_choice": "none",
    "response_format": {"type": "text"},
    "modalities": ["text"],
    "store": False,
}
"""Parameters that this server has not, with the value that asks for nothing."""
_ABOUT_THE_CALLER = ("user", "metadata", "safety_identifier", "service_tier")
"""Parameters that say nothing about the answer."""


class ApiError(Exception):
    """A refusal in OpenAI's form."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        """Return the body."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        told = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": told}


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message; other fields that clients send back with a history are not read."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        """All its text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request for chat completions, checked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    n: int = Field(1, ge=1, le=16)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None

    @property
    def question(self) -> str:
        """The text of the last message."""
        return self.messages[-1].text

    def samplings(self, unseeded: int) -> list[Sampling]:
        """Return the settings of each choice; `unseeded` is the seed where none was asked for."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        # Who asks for a temperature and no seed wants another text each time.
        seed = unseeded if self.seed is None and self.temperature else self.seed or 0
        return [
            Sampling(
                temperature=self.temperature,
                top_p=self.top_p,
                max_tokens=self.max_completion_tokens or self.max_tokens,
                stop=tuple(one for one in stop if one),
                seed=seed % 2**31,
                draw=draw,
            )
            for draw in range(self.n)
        ]


def read_request(body: bytes, *, longest_question: int) -> ChatRequest:
    """Return the request in a body.

    Raises:
        ApiError: no JSON, a wrong or unsupported parameter, no question, or too long a one.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"the body is no valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ApiError(400, "the body must be a JSON object with `model` and `messages`")
    try:
        found = ChatRequest.model_validate(dict(_supported(data)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{place}: {first['msg']}", param=place) from error
    if found.messages[-1].role != "user" or not found.question.strip():
        raise ApiError(400, "the last message must be the user's question", param="messages")
    if len(found.question) > longest_question:
        raise ApiError(
            400,
            f"the question has {len(found.question)} characters and may have {longest_question}",
            param="messages",
            code="context_length_exceeded",
        )
    return found


def _supported(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if value is None or name in _ABOUT_THE_CALLER:
            continue
        if name in ChatRequest.model_fields:
            yield name, value
        elif name not in _NEUTRAL or value != _NEUTRAL[name]:
            message = f"{name}: not supported by this server; leave it out"
            raise ApiError(400, message, param=name, code="unsupported_parameter")


class ReplyWriter:
    """Writes one reply, whole or in chunks, for the model name and request it is made with."""

    def __init__(self, model: str, request: ChatRequest) -> None:
        self._request = request
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time())}
        self._head |= {"model": model}

    def whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """Return a chat completion with a choice for each reply."""
        choices = []
        for index, reply in enumerate(replies):
            message = {"role": "assistant", "content": reply.answer.answer or ""}
            message |= {"reasoning_content": reply.answer.text}
            end = {"finish_reason": reply.finish_reason, "logprobs": None}
            choices.append({"index": index, "message": message, **end})
        body = {**self._head, "object": "chat.completion", "choices": choices}
        return {**body, "usage": usage(replies), "cotdistill": self._more(replies)}

    def chunk(self, index: int, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        """Return an event with a piece of one choice."""
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
        return self._event({"choices": [choice]})

    def last(self, replies: Sequence[Reply]) -> bytes:
        """Return the events that end a stream."""
        options = self._request.stream_options
        told = {"usage": usage(replies)} if options and options.include_usage else {}
        more = {"choices": [], **told, "cotdistill": self._more(replies)}
        return (self._event(more) if told else b"") + b"data: [DONE]\n\n"

    def _event(self, fields: Mapping[str, Any]) -> bytes:
        body = {**self._head, "object": "chat.completion.chunk", **fields}
        return b"data: " + orjson.dumps(body) + b"\n\n"

    def _more(self, replies: Sequence[Reply]) -> dict[str, Any]:
        told = [reply.to_json() for reply in replies]
        return {"unread_messages": len(self._request.messages) - 1, "choices": told}


def error_event(error: ApiError) -> bytes:
    """Return the event of a failure in the middle of a stream."""
    return b"data: " + orjson.dumps(error.to_json()) + b"\n\n"


def usage(replies: Sequence[Reply]) -> dict[str, int]:
    """Return the tokens of all texts that were read and written for these replies."""
    made = [one for reply in replies for _, one in reply.completions]
    read = sum(one.prompt_tokens for one in made)
    written = sum(one.completion_tokens for one in made)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

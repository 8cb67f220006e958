"""The public fake: a teacher whose replies, delays and faults are written down.

    {"name": "scripted", "replies": {"How many apples": [" 3 + 8 = 11 apples.", " 3 + 8 is 11."]}}

Sample i gets reply i, round and round. A mapping gives the replies of the first of its keys that
occurs in the prompt.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from cotdistill.contracts import Model, Operational, Teacher
from cotdistill.errors import FatalTeacherError, QuestionFailed
from cotdistill.records import Completion, Message, Prompt, Request

Replies = str | tuple[str, ...]
Fault = Literal["question failed", "fatal"]


class Scripted(Teacher):
    """Fixed replies from the recipe or a Python function: the fake for tests and dry runs.

    `replies` is a text, a list of texts, a mapping from a part of the prompt to those, or (from
    Python) a function of request and sample index. `faults` maps a part of the prompt to what
    happens instead of a reply.
    """

    replies: Replies | Mapping[str, Replies] | Callable[[Request, int], str] = " The answer is 1."
    latency_s: Annotated[float, Operational()] = 0.0
    faults: Mapping[str, Fault] = {}
    revision: str = ""

    def open(self) -> Model:
        return _ScriptedModel(self)


class _ScriptedModel:
    def __init__(self, script: Scripted) -> None:
        self._script = script

    def identity(self) -> Mapping[str, Any]:
        replies = self._script.replies
        shown: Any = "a function" if callable(replies) else replies
        return {"teacher": "scripted", "replies": shown, "revision": self._script.revision}

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        await asyncio.sleep(self._script.latency_s)
        text = _text_of(request.prompt)
        for part, fault in self._script.faults.items():
            if part in text and fault == "fatal":
                raise FatalTeacherError(f"scripted teacher: told to stop at {part!r}")
            if part in text:
                raise QuestionFailed(
                    f"scripted teacher: told to fail at {part!r}", "scripted fault"
                )
        return [self._completion(request, text, index) for index in sample_indices]

    def _completion(self, request: Request, prompt: str, index: int) -> Completion:
        reply = self._reply(request, prompt, index)
        if request.prefill and not reply.startswith(request.prefill):
            reply = request.prefill + reply
        ends = [at for stop in request.stop if (at := reply.find(stop, len(request.prefill))) >= 0]
        reply = reply[: min(ends, default=len(reply))]
        return Completion(
            reply,
            index,
            prompt_tokens=len(prompt.split()),
            completion_tokens=len(reply.split()),
            finish_reason="stop",
        )

    def _reply(self, request: Request, prompt: str, index: int) -> str:
        replies = self._script.replies
        if callable(replies):
            return replies(request, index)
        if isinstance(replies, Mapping):
            part = next((part for part in replies if part in prompt), None)
            if part is None:
                raise QuestionFailed("scripted teacher: no reply for this prompt", "not scripted")
            replies = replies[part]
        return replies if isinstance(replies, str) else replies[index % len(replies)]

    async def close(self) -> None:
        return None


def _text_of(prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message.content for message in prompt if isinstance(message, Message))

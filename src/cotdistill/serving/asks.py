"""A caller's wishes for one answer (temperature, length, …), laid over a method's asks.

A method or strategy that decides such a thing itself keeps it, and the caller is told: nothing that
was asked for is dropped without a word.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cotdistill.contracts import Ask
from cotdistill.errors import UserError
from cotdistill.model.batcher import LISTENER
from cotdistill.records import Completion, Prompt

_SAMPLES = 1 << 10
"""Sample indices that belong to one draw: more than any strategy samples."""
_CHOICES = 1 << 7
"""Draws that belong to one seed."""


class Unsupported(UserError):
    """This system cannot do what the caller asked for; `setting` is its name."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting


class CutShort(Exception):
    """The caller's `max_tokens` are used up before the method has finished."""


@dataclass(frozen=True)
class Sampling:
    """Settings of a caller; None leaves it to the method, as it was evaluated.

    `max_tokens` limits all that is generated for one answer. Draw i of a seed is the same text
    whenever it is asked for; 0 of seed 0 is what the run itself would draw.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int = 0
    draw: int = 0


@dataclass
class Asks:
    """The asks of one answer: an `Ask` that lays the caller's settings over each, and keeps all."""

    ask: Ask
    sampling: Sampling = Sampling()
    on_text: Callable[[str], None] | None = None
    completions: list[tuple[str, Completion]] = field(default_factory=list)
    """Role and completion, in the order they arrived."""
    _begun: int = 0
    _under_way: int = 0

    async def __call__(
        self, prompt: Prompt, *, role: str = "teacher", **settings: Any
    ) -> list[Completion]:
        self._begun += 1
        asked, heard = self._overlaid(settings), list[str]()
        self._under_way += 1
        # Of the many texts of a vote none is the answer's, so they are not handed on.
        alone = "temperature" not in settings and settings.get("samples", 1) == 1
        speaks = self.on_text is not None and alone
        listening = LISTENER.set(partial(self._hear, heard) if speaks else None)
        try:
            completions = await self.ask(prompt, role=role, **asked)
        finally:
            self._under_way -= 1
            LISTENER.reset(listening)
        if speaks and completions:
            self._hear(heard, completions[0].text[len("".join(heard)) :])
        self.completions += [(role, one) for one in completions]
        return completions

    def _hear(self, heard: list[str], text: str) -> None:
        """Hand a piece of the text under way on; texts are apart by a newline."""
        assert self.on_text is not None
        if text:
            between = "\n" if self.completions and not heard else ""
            heard.append(text)
            self.on_text(between + text)

    @property
    def text(self) -> str:
        """All that was written so far."""
        return "\n".join(one.text for _, one in self.completions)

    def _overlaid(self, settings: dict[str, Any]) -> dict[str, Any]:
        wanted, own = self.sampling, dict(settings)
        for name, value in (("temperature", wanted.temperature), ("top_p", wanted.top_p)):
            if value is None:
                continue
            # A later ask that only reads the answer off stays greedy; a strategy that samples
            # sets both from its first ask on.
            if "temperature" not in settings:
                own[name] = value
            elif self._begun == 1:
                raise Unsupported(name, "this system's strategy sets its own")
        offset = (wanted.seed * _CHOICES + wanted.draw) * _SAMPLES
        own["first_sample"] = own.get("first_sample", 0) + offset
        if wanted.stop:
            if self._begun > 1:
                raise Unsupported("stop", "this system writes several texts for one answer")
            own["stop"] = (*own.get("stop", ()), *wanted.stop)
        if wanted.max_tokens is not None:
            own["max_tokens"] = self._room(own.get("max_tokens", 256), wanted.max_tokens)
        return own

    def _room(self, own: int, most: int) -> int:
        if self._under_way:
            raise Unsupported("max_tokens", "this system writes several texts at once")
        left = most - sum(one.completion_tokens for _, one in self.completions)
        if left < 1:
            raise CutShort
        return min(own, left)

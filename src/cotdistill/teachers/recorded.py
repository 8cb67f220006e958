"""A teacher that was asked before: completions come from files, nothing is sent anywhere and nothing costs.

    {"name": "recorded", "files": ["gsm8k_llama_level2.json", "gsm8k_gemini_level2.json"]}

An exported completion log (`cotdistill cache export`) answers exactly the requests it was made of. Other recordings are one
reply to a question; it is cut to what the prompt asks for: after "Let's think step by step." the rationale, after "The
answer is" the answer, after "A:" both. See `_recordings` for the forms of files. Asking for more samples than were
recorded gives those there are; a question that is not there at all fails with the reason "not recorded".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from cotdistill.contracts import Model, Teacher
from cotdistill.errors import DataError, QuestionFailed
from cotdistill.records import Completion, Prompt, Request

if TYPE_CHECKING:
    from cotdistill.teachers._recordings import Recordings, Reply

__all__ = ["Recorded"]


class Recorded(Teacher):
    """Completions from files: an exported completion log, or published rationales of other teachers."""

    files: tuple[Path, ...] = Field(min_length=1)

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value

    def open(self) -> Model:
        for path in self.files:
            if not path.is_file():
                raise DataError(
                    f"teacher recorded: there is no file {path}; correct `files` in the recipe"
                )
        return _RecordedModel(self.files)


class _RecordedModel:
    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    @cached_property
    def _recordings(self) -> Recordings:
        from cotdistill.teachers._recordings import Recordings

        return Recordings(self._files)

    def identity(self) -> Mapping[str, Any]:
        digests = []
        for path in self._files:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return {"teacher": "recorded", "files": digests}

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        from cotdistill.model.completion_log import canonical_json

        wanted = set(sample_indices)
        made = {}
        for row in self._recordings.logged(canonical_json(request.to_json())):
            completion = replace(Completion.from_json(row), key="")
            if completion.sample_index in wanted:
                made[completion.sample_index] = completion
        if not made:
            prompt = _last_text(request.prompt)
            texts = _texts(prompt, self._recordings.replies(prompt), request.prefill)
            made = {
                index: Completion(texts[index], index)
                for index in sample_indices
                if index < len(texts)
            }
        if not made:
            raise QuestionFailed(
                "teacher recorded: nothing is recorded for this prompt", "not recorded"
            )
        return [made[index] for index in sample_indices if index in made]

    async def close(self) -> None:
        return None


def _texts(prompt: str, replies: Sequence[Reply], prefill: str) -> list[str]:
    """What each recorded reply says to this prompt, sample by sample."""
    from cotdistill.teachers._recordings import words

    end = prompt.rstrip()
    if end.endswith("answer is"):
        # A second call repeats the first one's text: the answer is that of the sample it repeats.
        said = " ".join(words(prompt))
        repeated = [
            reply
            for reply in replies
            if reply.rationale and " ".join(words(reply.rationale)) in said
        ]
        texts = [reply.answer for reply in repeated or replies]
    elif end.endswith(("step by step.", "Solution:")):
        texts = [_spaced(reply.rationale) for reply in replies]
    elif end.endswith("A:"):
        texts = [
            f"{_spaced(reply.rationale)} The answer is {reply.answer.strip().rstrip('.')}."
            for reply in replies
        ]
    else:
        texts = []
    return [text for text in texts if text.startswith(prefill)]


def _spaced(rationale: str) -> str:
    return rationale if not rationale or rationale[0].isspace() else " " + rationale


def _last_text(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else prompt[-1].content

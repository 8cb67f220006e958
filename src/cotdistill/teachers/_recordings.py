"""Finds what was recorded for a question: indexes recording files once, reads rows when they are asked for.

Three kinds of row, told apart by their fields, in JSON Lines or one JSON list:

    {"key": ..., "identity": {...}, "request": {...}, "completion": {...}, "arrived": ...}     an exported completion log
    {"question": "...", "completion": "Let's think ... Therefore, the answer is 11.", "answer_completion": " 11."}
    {"instruction": "...", "output": "... The answer is 11"}        (`output` may be a list: one reply per sample)

A question matches when its words stand in the prompt, whatever the white space, punctuation and way of listing options.
Several rows of one question, in one file or several, are its samples in order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError

__all__ = ["Recordings", "Reply", "words"]

_ANCHOR = 6
"""Words from a question's start that the index is searched by; a shorter question is searched by all its words."""

_NOISE = re.compile(r"answer choices\s*:|options\s*:|context\s*:", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_TRIGGER = "Let's think step by step."
_ANSWER_SENTENCE = re.compile(
    r"(?:(?:so|therefore|thus|hence)\W+)?(?:among \w+ through \w+\W+)?the (?:final |correct )?answer(?: \([^)]*\))? is:?\s*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(])|\n+")


@dataclass(frozen=True, slots=True)
class Reply:
    """One recorded reply, taken apart: the reasoning, and the text that gives the answer."""

    rationale: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Place:
    file: int
    offset: int
    length: int


class Recordings:
    """The rows of some files by question and by request. Rows stay on disk; the index holds hashes and offsets."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._lists: dict[int, list[Any]] = {}
        self._questions: dict[int, list[_Place]] = {}
        self._anchors: set[int] = set()
        self._lengths: dict[int, set[int]] = {}
        self._requests: dict[int, list[_Place]] = {}
        for number, path in enumerate(paths):
            for place, row in self._rows(number, path):
                self._index(path, place, row)

    def logged(self, request_json: str) -> Iterator[dict[str, Any]]:
        """The completions an exported log holds for exactly this request."""
        for place in self._requests.get(_hash(request_json), ()):
            row = self._read(place)
            if _canonical(row["request"]) == request_json:
                yield row["completion"]

    def replies(self, prompt: str) -> list[Reply]:
        """All replies recorded for the question that stands last in the prompt."""
        found = words(prompt)
        best: tuple[int, int] | None = None
        for start, anchor in (
            (start, anchor) for start in range(len(found)) for anchor in self._anchors
        ):
            for length in self._lengths.get(_hash(" ".join(found[start : start + anchor])), ()):
                end = start + length
                if end <= len(found) and _hash(" ".join(found[start:end])) in self._questions:
                    best = max(best or (0, 0), (end, length))
        if best is None:
            return []
        end, length = best
        places = self._questions[_hash(" ".join(found[end - length : end]))]
        return [reply for place in places for reply in _replies(self._read(place))]

    def _index(self, path: Path, place: _Place, row: Any) -> None:
        where = (
            f"{path}: row at byte {place.offset}"
            if place.length
            else f"{path}: item {place.offset + 1}"
        )
        if not isinstance(row, dict):
            raise DataError(
                f"{where}: not an object; see docs/teachers.md for the forms of recordings"
            )
        if "request" in row and "completion" in row:
            self._requests.setdefault(_hash(_canonical(row["request"])), []).append(place)
            return
        question, reply = _question_of(row), row.get("output", row.get("completion"))
        if not question or not isinstance(reply, str | list):
            raise DataError(
                f"{where}: needs `question` and `completion`, or `instruction` and `output`; it has {', '.join(row)}"
            )
        found = words(question)
        self._questions.setdefault(_hash(" ".join(found)), []).append(place)
        self._anchors.add(min(_ANCHOR, len(found)))
        self._lengths.setdefault(_hash(" ".join(found[:_ANCHOR])), set()).add(len(found))

    def _rows(self, number: int, path: Path) -> Iterator[tuple[_Place, Any]]:
        with path.open("rb") as file:
            if file.read(64).lstrip().startswith(b"["):
                self._lists[number] = _load_list(path)
                for position, row in enumerate(self._lists[number]):
                    yield _Place(number, position, 0), row
                return
            file.seek(0)
            offset = 0
            for line_number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield _Place(number, offset, len(line)), json.loads(line)
                    except ValueError as error:
                        raise DataError(
                            f"{path}:{line_number}: no JSON ({error}); remove or mend the line"
                        ) from error
                offset += len(line)

    def _read(self, place: _Place) -> dict[str, Any]:
        if place.length == 0:
            row: dict[str, Any] = self._lists[place.file][place.offset]
            return row
        with self._paths[place.file].open("rb") as file:
            file.seek(place.offset)
            whole: dict[str, Any] = json.loads(file.read(place.length))
        return whole


def _load_list(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: no JSON ({error}); mend the file") from error
    return rows if isinstance(rows, list) else [rows]


def words(text: str) -> list[str]:
    """The words of a text as they are compared: small letters, no punctuation, no labels of options and context."""
    return _WORD.findall(_NOISE.sub(" ", text).lower())


def _question_of(row: dict[str, Any]) -> str:
    question = row.get("instruction", row.get("question"))
    return re.sub(r"^\s*Q\s*:", "", question) if isinstance(question, str) else ""


def _replies(row: dict[str, Any]) -> Iterator[Reply]:
    output = row.get("output", row.get("completion"))
    texts = output if isinstance(output, list) else [output]
    answer = row.get("answer_completion")
    for text in texts:
        yield _two_calls(str(text), answer) if isinstance(answer, str) else _one_call(str(text))


def _two_calls(completion: str, answer: str) -> Reply:
    """A reply of two calls: the rationale ends where the trigger of the second call starts a line of its own."""
    body = completion.removeprefix(_TRIGGER).rstrip()
    head = body.removesuffix(answer.rstrip()) if answer.strip() else body
    rationale, found, _ = head.rpartition("\nTherefore, ")
    return Reply((rationale if found else head).rstrip(), answer)


def _one_call(text: str) -> Reply:
    """One reply: its last answer sentence is the answer; without one, its last sentence is."""
    matches = list(_ANSWER_SENTENCE.finditer(text))
    if matches and len(words(text[matches[-1].end() :])) <= 40:
        last = matches[-1]
        return Reply(text[: last.start()].rstrip(), " " + text[last.end() :].strip())
    if len(words(text)) <= 1:
        return Reply("", " " + text.strip())
    sentences = [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]
    return Reply(text.rstrip(), " " + sentences[-1])


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())

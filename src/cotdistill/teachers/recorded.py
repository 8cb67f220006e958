"""A teacher that was asked before: completions come from files, nothing is sent anywhere and
nothing costs.

    {"name": "recorded", "files": ["gsm8k_llama_level2.json", "gsm8k_gemini_level2.json"]}
    {"name": "recorded", "files": ["SVAMP.gpt4_LtM.jsonl"], "questions": "SVAMP.jsonl"}
    {"name": "recorded", "files": ["batch_output.jsonl"], "questions": "batch_input.jsonl"}

An exported completion log (`cotdistill cache export`) answers exactly the requests it was made of.
Every other row is a question with one reply or several, in any form that `data.fields` reads; rows
without a question are joined by `id` (a batch's by `custom_id`) to the file `questions`. A question
is found in a prompt by its words, whatever the white space, punctuation and way of listing options;
the last question of a prompt counts. Several rows of one question are its samples in order.

A recorded model continues a text as any other: a prompt that already holds a recorded rationale
gets the answer, one that holds its first sentences gets the next ones, any other gets the whole
reply, which ends "The answer is ...". Asking for more samples than were recorded gives those there
are; a question that is not there fails as "not recorded".
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from cotdistill.contracts import Model, Teacher
from cotdistill.data.fields import ParsedReply, replies_of
from cotdistill.data.joining import joined_question, questions_by_id
from cotdistill.data.rows import Row, files_of, opened, rows, stamps_of
from cotdistill.data.stored import Stored
from cotdistill.errors import DataError, QuestionFailed
from cotdistill.records import Completion, Request
from cotdistill.text.options import split_options
from cotdistill.text.templates import question_words
from cotdistill.util.addresses import is_address
from cotdistill.util.files import file_hash

_ANCHOR = 6
"""Words from a question's start that the index is searched by; a shorter question is searched by
all."""
_FEWEST = 5
"""A question of fewer words is found with its options only: "Which is true?" stands in many."""
# Labels that one collection writes before options and contexts and another does not.
_LABEL = re.compile(r"answer choices\s?:|options\s?:|context\s?:|^\s*q\s?:", re.IGNORECASE)
# A rationale is continued sentence by sentence, or line by line.
_SENTENCE = re.compile(r"[^\n]+?(?:[.!?](?=\s|$)|\n|$)")


def _source(value: Any) -> Any:
    """Leave an address as it is: as a path it would lose a slash."""
    return Path(value) if isinstance(value, str) and not is_address(value) else value


_Source = Annotated[Path | str, BeforeValidator(_source)]
"""A file, a pattern of files, or an address."""


class Recorded(Teacher):
    """Completions from files: an exported completion log, or published rationales of other
    teachers."""

    files: tuple[_Source, ...] = Field(min_length=1)
    questions: _Source | None = Field(
        default=None, description="file that gives the questions of rows with an `id` alone"
    )

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value

    def contents(self) -> Any:
        """Return the digest of every file, or the checksum that a store tells of it."""
        return [one for source in self._sources() for one in _contents(source)]

    def open(self) -> Model:
        for source in self._sources():
            if is_address(source):
                if not stamps_of(source):
                    raise DataError(f"{source}: no file fits; correct the pattern")
                continue
            for file in files_of(source):
                if Path(file).is_dir():
                    raise DataError(
                        f"teacher recorded: {file} is a folder; name its files, such as "
                        f"{file}/*.jsonl"
                    )
                if not Path(file).is_file():
                    raise DataError(
                        f"teacher recorded: there is no file {file}; correct `files` or `questions`"
                    )
        return _RecordedModel(self.files, self.questions)

    def _sources(self) -> list[Path | str]:
        return [*self.files, *([self.questions] if self.questions else [])]


def _contents(source: Path | str) -> list[Any]:
    if not is_address(source):
        return [_digest(file) for file in files_of(source) if Path(file).is_file()]
    told = stamps_of(source)
    return told if None not in told else [_digest(file) for file in files_of(source)]


def _digest(file: Path | str) -> str:
    if isinstance(file, Path):
        return file_hash(file)
    with opened(file) as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


class _RecordedModel:
    def __init__(self, files: Sequence[Path | str], questions: Path | str | None) -> None:
        self._files, self._questions = files, questions

    @cached_property
    def _recordings(self) -> _Recordings:
        return _Recordings(self._files, self._questions)

    def identity(self) -> Mapping[str, Any]:
        sources = [*self._files, *([self._questions] if self._questions else [])]
        digests = [_digest(file) for source in sources for file in files_of(source)]
        return {"teacher": "recorded", "files": digests}

    async def complete(self, request: Request, sample_indices: Sequence[int]) -> list[Completion]:
        found = self._recordings
        made = found.logged(request) or {
            index: Completion(text, index, finish_reason=reason)
            for index, (text, reason) in enumerate(found.texts(request))
        }
        if not made:
            raise QuestionFailed(
                "teacher recorded: nothing is recorded for this prompt", "not recorded"
            )
        return [made[index] for index in sample_indices if index in made]

    async def close(self) -> None:
        return None


class _Recordings:
    """The replies of some files by question, and the completions of exported logs by request.

    Their texts are on disk; in memory are the questions, and the places of the texts.
    """

    def __init__(self, paths: Sequence[Path | str], questions: Path | str | None) -> None:
        self._texts = Stored()
        self._logged: dict[bytes, dict[int, int]] = {}
        self._replies: dict[str, array[int]] = {}
        self._lengths: dict[str, set[int]] = {}
        self._alone: dict[str, str | None] = {}
        self._by_id = questions_by_id(questions) if questions else {}
        for path in paths:
            for row in rows(path):
                self._add(row)
        self._texts.flush()

    def _add(self, row: Row) -> None:
        if "request" in row.fields and "completion" in row.fields:
            request, completion = row.fields["request"], row.fields["completion"]
            try:
                one = replace(Completion.from_json(completion), key="")
            except ValueError as error:
                raise DataError(
                    f"{row.place}: no exported log: {error}; export it again"
                ) from error
            self._logged.setdefault(_key(request), {})[one.sample_index] = self._texts.add(one)
            return
        replies = replies_of(row)
        question = joined_question(row, self._by_id)
        found = _words(question)
        key, bare = " ".join(found), " ".join(_words(split_options(question)[0]))
        if not found:
            raise DataError(
                f"{row.place}: the question has no words; correct it, or remove the row"
            )
        places = (self._texts.add(tuple(reply)) for reply in replies)
        self._replies.setdefault(key, array("Q")).extend(places)
        self._anchor(found)
        if bare != key and len(bare.split()) >= _FEWEST:
            # A prompt may write something between a question and its options; two questions
            # that differ in their options alone are found with them only.
            self._alone[bare] = key if self._alone.get(bare, key) == key else None
            self._anchor(bare.split())

    def _anchor(self, found: list[str]) -> None:
        self._lengths.setdefault(" ".join(found[:_ANCHOR]), set()).add(len(found))

    def logged(self, request: Request) -> dict[int, Completion]:
        """Return the completions of a request that stand in exported logs, by sample index."""
        found = self._logged.get(_key(request.to_json()), {})
        texts = self._texts
        return {index: Completion.from_json(texts.at(place)) for index, place in found.items()}

    def texts(self, request: Request) -> list[tuple[str, str]]:
        """Return what each reply to the prompt's last question has to say behind the prompt, with
        its finish reason."""
        prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
        words = _words(prompt)
        place = self._last_question(words)
        if place is None:
            return []
        end, key = place
        replies = [ParsedReply(*self._texts.at(place)) for place in self._replies[key]]
        after = f" {' '.join(words[end:])} "
        held = [(_held(reply.rationale, after), reply) for reply in replies]
        if any(length for length, _ in held):
            # The reply that the prompt repeats most of is the one that it continues.
            held = sorted((one for one in held if one[0]), key=lambda one: -one[0])
        texts = []
        for length, reply in held:
            text = _rest(reply, length)
            ends = [at for stop in request.stop if stop and (at := text.find(stop)) >= 0]
            text = text[: min(ends)] if ends else text
            if text.startswith(request.prefill):
                texts.append((text, reply.finish_reason))
        return texts

    def _last_question(self, words: list[str]) -> tuple[int, str] | None:
        """Return where the last and longest known question of a prompt ends, and its key."""
        best: tuple[int, int, str] | None = None
        for start in range(len(words)):
            for anchor in range(1, _ANCHOR + 1):
                for length in self._lengths.get(" ".join(words[start : start + anchor]), ()):
                    if anchor != min(length, _ANCHOR) or start + length > len(words):
                        continue
                    found = " ".join(words[start : start + length])
                    key = found if found in self._replies else self._alone.get(found)
                    if key is not None:
                        best = max(best or (0, 0, ""), (start + length, length, key))
        return (best[0], best[2]) if best else None


def _words(text: str) -> list[str]:
    return question_words(_LABEL.sub(" ", text))


def _held(rationale: str, after: str) -> int:
    """Return how much of a rationale, in characters and whole sentences, the words of a prompt
    already hold."""
    held, said = 0, ""
    for sentence in _SENTENCE.finditer(rationale):
        said = f"{said} {' '.join(_words(sentence[0]))}".rstrip()
        if said and f" {said.strip()} " not in after:
            break
        held = sentence.end()
    # A few words ("1.", "First,") may stand in any prompt; the whole of a short rationale counts.
    return held if len(said.split()) >= _FEWEST or held >= len(rationale.rstrip()) else 0


def _rest(reply: ParsedReply, held: int) -> str:
    """Return what stands behind the first `held` characters of the rationale: the answer alone
    where that is all of it."""
    answer, rest = reply.answer.strip(), reply.rationale[held:].strip()
    if not rest:
        return f" {answer}" if held or not reply.rationale else ""
    if not answer or not reply.apart:
        return f" {rest}"
    return f" {rest}{chr(10) if chr(10) in rest else ' '}The answer is {answer.rstrip('.')}."


def _key(request: Any) -> bytes:
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()

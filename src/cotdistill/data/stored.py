"""Questions in a temporary file, for data of any size: read one after the other, none stays in
memory.

The file lies where Python's `tempfile` puts it (TMPDIR), has no name, and is gone with the process.
"""

import contextlib
import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any
from zlib import crc32

import orjson

from cotdistill.errors import StoreError
from cotdistill.records import Question, Step

_BLOCK = 2**18
"""Bytes that are read at a time."""


class StoredQuestions:
    """Questions in order; they can be gone through any number of times, also at the same time.

    Raises:
        StoreError: the temporary folder is full or cannot be written.
    """

    def __init__(self, questions: Iterable[Question] = ()) -> None:
        try:
            self._file = tempfile.TemporaryFile(buffering=_BLOCK)  # noqa: SIM115  see below
        except OSError as error:
            raise _full(error) from error
        # Whoever caches questions drops them without a word.
        weakref.finalize(self, _close, self._file)
        self._count = 0
        for question in questions:
            self._write(_line(question))
        self._flush()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Question]:
        return map(_question, self._lines())

    def ids(self) -> Iterator[str]:
        """Yield the questions' ids, which is faster than to make questions."""
        for line in self._lines():
            yield _row(line)["id"]

    def dealt(self, parts: Mapping[str, Iterable[int]], rest: str) -> dict[str, "StoredQuestions"]:
        """Return the questions by part, given the places of each; those in none go to `rest`."""
        names = list(dict.fromkeys([*parts, rest]))
        codes = bytearray([names.index(rest)]) * len(self)
        for name, places in parts.items():
            for place in places:
                codes[place] = names.index(name)
        dealt = [StoredQuestions() for _ in names]
        for code, line in zip(codes, self._lines(), strict=True):
            dealt[code]._write(line + b"\n")
        for part in dealt:
            part._flush()
        return dict(zip(names, dealt, strict=True))

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except OSError as error:
            raise _full(error) from error
        self._count += 1

    def _flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise _full(error) from error

    def _lines(self) -> Iterator[bytes]:
        # Reading at an offset moves no common position: several can read at the same time.
        offset, rest = 0, b""
        while block := os.pread(self._file.fileno(), _BLOCK, offset):
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from lines


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # a full disk, which was told where it was written
        file.close()


def _full(error: OSError) -> StoreError:
    return StoreError(
        f"{tempfile.gettempdir()}: cannot be written ({error.strerror}); "
        "free some space, or set TMPDIR to a folder on another disk"
    )


def _line(question: Question) -> bytes:
    try:
        return orjson.dumps(question, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair, or a number that only Python's JSON writes
        return json.dumps(question.to_json()).encode() + b"\n"


def _row(line: bytes) -> dict[str, Any]:
    try:
        row: dict[str, Any] = orjson.loads(line)
    except ValueError:
        row = json.loads(line)
    return row


def _question(line: bytes) -> Question:
    row = _row(line)
    row["options"], row["steps"] = tuple(row["options"]), tuple(Step(**one) for one in row["steps"])
    return Question(**row)


def first_repeated(names: Callable[[], Iterable[str]]) -> int | None:
    """Return the place of the first name that stood before; four bytes a name are in memory.

    Args:
        names: makes an iterator over the names, which are gone through again where two hash alike.
    """
    import numpy as np

    # "I" has four bytes.
    hashes = np.frombuffer(array("I", map(_hash, names())), dtype=np.uint32)
    hashes.sort()
    twins = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    seen = set[str]()
    for place, name in enumerate(names() if twins else ()):
        if _hash(name) in twins:
            if name in seen:
                return place
            seen.add(name)
    return None


def _hash(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogatepass"))

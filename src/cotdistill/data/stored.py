"""Questions and other values in a temporary file, for data of any size: none stays in memory.

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
from cotdistill.records import Question, Record, Step

_BLOCK = 2**18
"""Bytes to read at a time where all values are read."""
_LINE = 2**12
"""Bytes to read at a time where one value is looked up."""


class Stored:
    """JSON values in order; they can be gone through any number of times, also at the same time.

    Raises:
        StoreError: the temporary folder is full or cannot be written.
    """

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(buffering=_BLOCK)  # noqa: SIM115  see below
        except OSError as error:
            raise _full(error) from error
        # Whoever caches what is stored drops it without a word.
        weakref.finalize(self, _close, self._file)
        self._count, self._size = 0, 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: Any) -> int:
        """Add a value, a dataclass or one of JSON's; return its place for `at`, after `flush`."""
        try:
            line = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # half a surrogate pair, or a number that only Python's JSON writes
            line = b" " + json.dumps(value, default=Record.to_json).encode() + b"\n"
        return self.write(line)

    def write(self, line: bytes) -> int:
        """Add a value that is a line of JSON already, as `add` does."""
        place = self._size
        try:
            self._file.write(line)
        except OSError as error:
            raise _full(error) from error
        self._count, self._size = self._count + 1, place + len(line)
        return place

    def flush(self) -> None:
        """Make what was added readable."""
        try:
            self._file.flush()
        except OSError as error:
            raise _full(error) from error

    def lines(self, place: int = 0, block: int | None = None) -> Iterator[bytes]:
        """Yield the lines from a place on, without their ends; so many bytes are read at a time."""
        # Reading at an offset moves no common position: several can read at the same time.
        rest = b""
        while read := os.pread(self._file.fileno(), block or _BLOCK, place):
            place += len(read)
            *lines, rest = (rest + read).split(b"\n")
            yield from lines

    def at(self, place: int) -> Any:
        """Return the value at a place."""
        return _loaded(next(self.lines(place, _LINE)))


class StoredQuestions:
    """Questions in order, as often as they are asked for."""

    def __init__(self, questions: Iterable[Question] = ()) -> None:
        self._stored = Stored()
        for question in questions:
            self._stored.add(question)
        self._stored.flush()

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[Question]:
        return map(_question, self._stored.lines())

    def ids(self) -> Iterator[str]:
        """Yield the questions' ids, which is faster than to make questions."""
        for line in self._stored.lines():
            yield _loaded(line)["id"]

    def dealt(self, parts: Mapping[str, Iterable[int]], rest: str) -> dict[str, "StoredQuestions"]:
        """Return the questions by part, given the places of each; those in none go to `rest`."""
        names = list(dict.fromkeys([*parts, rest]))
        codes = bytearray([names.index(rest)]) * len(self)
        for name, places in parts.items():
            for place in places:
                codes[place] = names.index(name)
        dealt = [StoredQuestions() for _ in names]
        for code, line in zip(codes, self._stored.lines(), strict=True):
            dealt[code]._stored.write(line + b"\n")
        for part in dealt:
            part._stored.flush()
        return dict(zip(names, dealt, strict=True))


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # a full disk, which was told where it was written
        file.close()


def _full(error: OSError) -> StoreError:
    return StoreError(
        f"{tempfile.gettempdir()}: cannot be written ({error.strerror}); "
        "free some space, or set TMPDIR to a folder on another disk"
    )


def _loaded(line: bytes) -> Any:
    # What begins with a space is Python's JSON (see `add`).
    return json.loads(line) if line.startswith(b" ") else orjson.loads(line)


def _question(line: bytes) -> Question:
    row = _loaded(line)
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

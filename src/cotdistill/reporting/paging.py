"""Rows of a JSON Lines file by their number, without reading the file whole or keeping it.

The index holds where every `EVERY`th line begins: a million rows are 16,000 numbers. A file that
grows is indexed further; one that was written anew is indexed again.
"""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

EVERY = 64
_CHUNK = 1 << 20

Item = dict[str, Any]


class LineIndex:
    """The places where lines of a file begin; an unfinished last line does not count."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._forget()

    def _forget(self) -> None:
        self._starts = array("Q", [0])
        self._lines, self._end, self._file = 0, 0, (0, 0)

    def __len__(self) -> int:
        """Return the number of whole lines now in the file."""
        self._follow()
        return self._lines

    def rows(self, start: int, count: int) -> Iterator[Item]:
        """Yield so many rows from number `start` on, fewer where the file ends."""
        last = min(start + count, len(self))
        if start >= last:
            return
        with self._path.open("rb") as file:
            file.seek(self._starts[start // EVERY])
            for number in range(start // EVERY * EVERY, last):
                line = file.readline()
                if number >= start:
                    yield json.loads(line)

    def _follow(self) -> None:
        """Index what was added to the file since the last look."""
        import numpy as np

        if not self._path.exists():
            self._forget()
            return
        with self._path.open("rb") as file:
            stat = self._path.stat()
            # Another file under this name, or a shorter one, is not the one that was indexed.
            if self._file[0] != stat.st_ino or stat.st_size < self._end:
                self._forget()
            if self._file == (stat.st_ino, stat.st_size):
                return
            file.seek(self._end)
            while chunk := file.read(_CHUNK):
                ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + 1
                # The line after the k-th end has number `lines + k`; every so many are kept.
                first = -(self._lines + 1) % EVERY
                self._starts.extend(int(end) + self._end for end in ends[first::EVERY])
                self._lines += len(ends)
                self._end += len(chunk)
            self._end = self._end if not self._lines else self._last_end(file)
            self._file = (stat.st_ino, stat.st_size)

    def _last_end(self, file: Any) -> int:
        """Return where the last whole line ends: what follows is read again when it is whole."""
        position = self._end
        while position > 0:
            step = min(_CHUNK, position)
            file.seek(position - step)
            found: int = file.read(step).rfind(b"\n")
            if found >= 0:
                return position - step + found + 1
            position -= step
        return 0


class Shelf(Protocol):
    """Items that are read by their number."""

    def __len__(self) -> int: ...

    def read(self, start: int, count: int) -> Iterator[Item]: ...


class Finder:
    """The items of a shelf that a filter lets through, found as far as they were asked for."""

    def __init__(self, shelf: Shelf, matches: Callable[[Item], bool]) -> None:
        self._shelf, self._matches = shelf, matches
        self._found = array("Q")
        self._looked = 0

    def page(self, offset: int, limit: int, block: int = 256) -> Item:
        """Return items from number `offset` of those found: {"total", "more", "items"}.

        `total` counts those found so far, and `more` says that the shelf was not looked through.
        """
        size = len(self._shelf)
        while len(self._found) < offset + limit and self._looked < size:
            for item in self._shelf.read(self._looked, min(block, size - self._looked)):
                if self._matches(item):
                    self._found.append(self._looked)
                self._looked += 1
        wanted = self._found[offset : offset + limit]
        items = [item for number in wanted for item in self._shelf.read(number, 1)]
        return {"total": len(self._found), "more": self._looked < size, "items": items}


def whole_page(shelf: Shelf, offset: int, limit: int) -> Item:
    """Return a page of a shelf as it stands, as `Finder.page` returns it."""
    items = list(shelf.read(offset, limit))
    return {"total": len(shelf), "more": False, "items": items}


def found_in(search: str, texts: Sequence[str]) -> bool:
    """Return whether a text is among others, whatever the case."""
    return not search or search.casefold() in "\n".join(texts).casefold()


def answer_matches(filter: Mapping[str, Any]) -> Callable[[Item], bool]:
    """Return what lets a question through: verdicts of two rows, groups, a text (as page.js)."""

    def matches(item: Item) -> bool:
        for which in ("first", "second"):
            wanted = filter.get(f"{which}Verdict")
            verdict = item["answers"][int(filter.get(which) or 0)]["verdict"]
            if wanted and (verdict == "correct" if wanted == "not" else verdict != wanted):
                return False
        for name, value in item["groups"].items():
            if filter.get(name) and str(value) != filter[name]:
                return False
        texts = [item["question"], item["id"], *(one["text"] for one in item["answers"])]
        return found_in(str(filter.get("search", "")), texts)

    return matches


def rationale_matches(filter: Mapping[str, Any]) -> Callable[[Item], bool]:
    """Return what lets a rationale through: its reason, a text (as page.js)."""
    reason = filter.get("reason", "all")

    def matches(item: Item) -> bool:
        same = reason in ("all", None) or item["reason"] == reason
        return same and found_in(str(filter.get("search", "")), [item["question"], item["text"]])

    return matches

"""Files written whole or not at all, and JSON Lines read with file and line in every error."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, TypeVar

from cotdistill.errors import CotdistillError, DataError, StoreError
from cotdistill.records import Record

_Record = TypeVar("_Record", bound=Record)


def file_stamp(path: Path) -> list[Any]:
    """Return name, size and times of a file: all that shows a change without reading it."""
    stat = path.stat()
    return [str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; a file is read again only after its stamp has
    changed.
    """
    return _file_hash(*file_stamp(path.resolve()))


# The last time is the file system's own, which a copy that keeps size and time cannot keep.
@lru_cache(maxsize=1024)
def _file_hash(path: str, size: int, written: int, changed: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: a crash or full disk leaves the old one as it was.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    with whole_file(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Stream rows to a JSONL file, whole or not at all; returns how many."""
    count = 0
    with whole_file(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def append_jsonl(file: IO[str], row: Mapping[str, Any]) -> None:
    """Append one row and hand it to the operating system: a killed process loses none."""
    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    file.flush()


def read_json(path: Path) -> Any:
    """Return a JSON file's value.

    Raises:
        DataError: not valid JSON; the message names file and line.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: not valid JSON ({error.msg}); delete the file to make it again"
        ) from error


def read_jsonl(path: Path, *, torn_tail: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSONL file.

    With `torn_tail` an unfinished last line, as a killed process leaves it, ends the file.

    Raises:
        DataError: a malformed line; the message names file and line.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if torn_tail and not line.endswith("\n"):
                return
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{path}:{number}: not valid JSON ({error.msg}); mend or delete the line"
                ) from error
            if not isinstance(row, dict):
                raise DataError(
                    f"{path}:{number}: a JSON object is needed, not {type(row).__name__}"
                )
            yield row


def read_records(path: Path, kind: type[_Record], *, torn_tail: bool = False) -> Iterator[_Record]:
    """Yield the records of a JSONL file; a line that is none is a DataError naming file and row."""
    for number, row in enumerate(read_jsonl(path, torn_tail=torn_tail), 1):
        try:
            yield kind.from_json(row)
        except ValueError as error:
            raise DataError(f"{path}: row {number}: {error}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn whatever a library raises in a block that only writes into one line.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except CotdistillError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [""])[0][:200]
        raise StoreError(
            f"{path}: cannot be written ({reason}); free some space or choose another folder"
        ) from error


@contextmanager
def whole_file(path: Path) -> Iterator[TextIOWrapper]:
    """Open a text file that appears whole when the block ends well, and not at all otherwise.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        # "x" makes the file: a link planted under its name is never followed.
        with partial.open("x", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); "
            "free some space or choose another folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)

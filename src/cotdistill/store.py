"""The run folder: plain files, written whole or not at all, and done-markers that say what they were made from.

    runs/demo/
      recipe.yaml  environment.json  completions.sqlite  ledger.json  scores.json  report.md  report.html
      word_problems/fine_tune_cot/generate/rationales.jsonl             every candidate
      word_problems/fine_tune_cot/curate/kept.jsonl  dropped.jsonl      with reasons
      word_problems/fine_tune_cot/lab/seed-0/train/student/             a checkpoint per model role
      word_problems/fine_tune_cot/lab/seed-0/infer/test-greedy/answers.jsonl

A folder made by a stage holds `done.json`, written last, with the fingerprint of everything the stage was made from.
A stage whose marker has today's fingerprint is skipped; any other is made again. No secret reaches this module.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from cotdistill.errors import DataError, StoreError
from cotdistill.records import Record

__all__ = [
    "Unit",
    "append_jsonl",
    "fingerprint",
    "folder_name",
    "locked",
    "read_json",
    "read_jsonl",
    "read_records",
    "whole_file",
    "write_json",
    "write_jsonl",
    "write_text",
]

_Record = TypeVar("_Record", bound=Record)

_LONGEST_NAME = 200
"""Bytes of a folder name; file systems allow 255, and a split's name is put before it."""


def fingerprint(value: Any) -> str:
    """32 hex digits of SHA-256 over the canonical JSON of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def folder_name(label: str) -> str:
    """A label as a safe, readable folder name: "fine_tune_cot samples=8" becomes "fine_tune_cot-samples-8".

    Raises:
        ValueError: nothing of the label can stand in a folder name, or it is too long for one.
    """
    name = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", label)).strip("-.")
    if not name:
        raise ValueError(f"label {label!r} has no letter or digit to name a folder by; give a `label` that has one")
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"label {label!r} is too long to name a folder by; give a shorter `label`")
    return name


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
    """Append one row and hand it to the operating system, so that a killed process loses none that was written."""
    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    file.flush()


def read_json(path: Path) -> Any:
    """A JSON file's value.

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
    """Rows of a JSONL file. With `torn_tail` an unfinished last line, as a killed process leaves it, ends the file.

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
                raise DataError(f"{path}:{number}: not valid JSON ({error.msg}); mend or delete the line") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: a JSON object is needed, not {type(row).__name__}")
            yield row


def read_records(path: Path, kind: type[_Record], *, torn_tail: bool = False) -> Iterator[_Record]:
    """Records of a JSONL file; a line that is no such record is a DataError naming file and line."""
    for number, row in enumerate(read_jsonl(path, torn_tail=torn_tail), 1):
        try:
            yield kind.from_json(row)
        except ValueError as error:
            raise DataError(f"{path}: row {number}: {error}") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process.

    Raises:
        StoreError: another process is at work in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror}); choose another `output` in the recipe"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{folder}: another cotdistill process is at work here; wait for it or stop it") from error
        yield


class Unit:
    """One folder a stage makes: its files, and a marker that says they are complete and what they were made from."""

    def __init__(self, folder: Path, made_from: Any) -> None:
        self.folder = folder
        self.fingerprint = fingerprint(made_from)

    @property
    def facts(self) -> dict[str, Any] | None:
        """What the stage noted when it finished; None where it has not finished from these very inputs, or its marker or a
        file it made is damaged or gone since: then it is made again."""
        done = _noted(self.folder / "done.json")
        if done.get("fingerprint") != self.fingerprint or not isinstance(done.get("facts"), dict):
            return None
        sizes = done.get("files", {})
        there = all(_size(self.folder / name) == size for name, size in sizes.items())
        facts: dict[str, Any] = done["facts"]
        return facts if there else None

    def begin(self) -> None:
        """Make the folder ready: unfinished work from the same inputs is kept to be resumed, any other is removed."""
        if self.facts is None and self._started_from() != self.fingerprint and self.folder.exists():
            shutil.rmtree(self.folder)
        write_json(self.folder / "started.json", {"fingerprint": self.fingerprint})

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the marker; everything else must be on disk by now."""
        files = {str(path.relative_to(self.folder)): _size(path) for path in self._made()}
        marker = {"fingerprint": self.fingerprint, "facts": dict(facts), "files": files}
        write_json(self.folder / "done.json", marker)

    def _made(self) -> Iterator[Path]:
        """The files that are the unit's result: no markers, and no logs that another call goes on with."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name not in ("done.json", "started.json") and path.suffix != ".log":
                yield path

    def _started_from(self) -> str | None:
        return _noted(self.folder / "started.json").get("fingerprint")


def _noted(marker: Path) -> dict[str, Any]:
    """A marker's content; nothing where there is none or it is damaged."""
    try:
        noted = json.loads(marker.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that appears whole when the block ends well, and not at all otherwise."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); free some space or choose another folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)

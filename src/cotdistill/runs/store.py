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
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cotdistill.errors import StoreError
from cotdistill.util.files import write_json
from cotdistill.util.naming import fingerprint

__all__ = ["Artifact", "locked"]


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
            raise StoreError(
                f"{folder}: another cotdistill process is at work here; wait for it or stop it"
            ) from error
        yield


class Artifact:
    """One folder a stage makes: its files, and a marker that says they are complete and what they were made from."""

    def __init__(self, folder: Path, made_from: Any) -> None:
        self.folder = folder
        self.fingerprint = fingerprint(made_from)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """What the stage noted when it finished; None where it has not finished from these very inputs, or its marker or a
        file it made is damaged or gone since: then it is made again."""
        done = _noted(self.folder / "done.json")
        if done.get("fingerprint") != self.fingerprint or not isinstance(
            done.get("metadata"), dict
        ):
            return None
        sizes = done.get("files", {})
        there = all(_size(self.folder / name) == size for name, size in sizes.items())
        found: dict[str, Any] = done["metadata"]
        return found if there else None

    def start(self) -> None:
        """Make the folder ready: unfinished work from the same inputs is kept to be resumed, any other is removed."""
        if (
            self.metadata is None
            and self._started_from() != self.fingerprint
            and self.folder.exists()
        ):
            shutil.rmtree(self.folder)
        write_json(self.folder / "started.json", {"fingerprint": self.fingerprint})

    def complete(self, metadata: Mapping[str, Any]) -> None:
        """Write the marker; everything else must be on disk by now."""
        files = {str(path.relative_to(self.folder)): _size(path) for path in self._made()}
        marker = {"fingerprint": self.fingerprint, "metadata": dict(metadata), "files": files}
        write_json(self.folder / "done.json", marker)

    def _made(self) -> Iterator[Path]:
        """The files that are the artifact's result: no markers, and no logs that another call goes on with."""
        for path in sorted(self.folder.rglob("*")):
            if (
                path.is_file()
                and path.name not in ("done.json", "started.json")
                and path.suffix != ".log"
            ):
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

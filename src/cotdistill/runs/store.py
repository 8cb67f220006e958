"""The run folder: plain files, written whole or not at all, with markers of their inputs.

    runs/demo/
      recipe.yaml  environment.json  completions.sqlite  ledger.json  scores.json  report.html
      word_problems/fine_tune_cot/generate/rationales.jsonl             every candidate
      word_problems/fine_tune_cot/curate/kept.jsonl  dropped.jsonl      with reasons
      word_problems/fine_tune_cot/lab/seed-0/train/student/             a checkpoint per model role
      word_problems/fine_tune_cot/lab/seed-0/infer/test-greedy/answers.jsonl

A folder made by a stage holds `done.json`, written last, with the fingerprint of its inputs. A
stage whose marker has today's fingerprint is skipped. Where the inputs changed, the successor is
made in `<folder>~partial` and takes the old one's place when it is whole. No secret reaches this
module.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cotdistill.errors import StoreError, UserError
from cotdistill.util.files import write_json
from cotdistill.util.naming import fingerprint


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process.

    Raises:
        StoreError: another process is at work in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A link planted in the folder is not followed, and nothing is truncated.
        file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror}); choose another `output` in the recipe"
        ) from error
    with os.fdopen(file, "w"):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"{folder}: another cotdistill process is at work here; wait for it or stop it"
            ) from error
        yield


class Artifact:
    """One folder made by a stage, and the marker that says what it was made from."""

    def __init__(self, folder: Path, made_from: Any) -> None:
        self.folder = folder
        self.fingerprint = fingerprint(made_from)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """Return the metadata that the stage wrote when it finished.

        None where it has not finished from these very inputs, or where its marker or one of its
        files is damaged or gone: then it is made again.
        """
        done = _noted(self.folder / "done.json")
        found = done.get("metadata")
        if done.get("fingerprint") != self.fingerprint or not isinstance(found, dict):
            return None
        sizes = done.get("files", {})
        there = all(_size(self.folder / name) == size for name, size in sizes.items())
        return found if there else None

    @property
    def finished(self) -> bool:
        """Return whether nothing is left to do; a transient failure is asked again."""
        return self.metadata is not None and not self.metadata.get("transient")

    def require(self, stage: str) -> dict[str, Any]:
        """Return the metadata.

        Raises:
            UserError: the folder is not there or was made for another recipe.
        """
        if (found := self.metadata) is None:
            raise UserError(
                f"{self.folder}: not there, or made for another recipe or by another version of "
                f"the code; run the stage {stage} first"
            )
        return found

    def start(self) -> Path:
        """Return the folder to work in, with what an earlier call left of the same work.

        An artifact of other inputs is left alone until `complete` puts the new one in its place.
        """
        work = self._work()
        if _started_from(work) != self.fingerprint:
            shutil.rmtree(work, ignore_errors=True)
        write_json(work / "started.json", {"fingerprint": self.fingerprint})
        return work

    def complete(self, metadata: Mapping[str, Any]) -> None:
        """Write the marker and take the place of an older artifact; all else is on disk by now."""
        work = self._work()
        files = {str(path.relative_to(work)): _size(path) for path in _results(work)}
        marker = {"fingerprint": self.fingerprint, "metadata": dict(metadata), "files": files}
        write_json(work / "done.json", marker)
        if work != self.folder:
            old = self.folder.with_name(self.folder.name + "~old")
            shutil.rmtree(old, ignore_errors=True)
            if self.folder.exists():
                self.folder.rename(old)
            work.rename(self.folder)
            shutil.rmtree(old, ignore_errors=True)

    def _work(self) -> Path:
        """The folder itself where it is free or holds this very work, else one beside it.

        No label has a `~` in its folder name, so no other artifact can be there.
        """
        free = not self.folder.exists() or _started_from(self.folder) == self.fingerprint
        return self.folder if free else self.folder.with_name(self.folder.name + "~partial")


def _results(folder: Path) -> Iterator[Path]:
    """Files that are an artifact's result: no markers, and no logs that another call continues."""
    for path in sorted(folder.rglob("*")):
        marker = path.name in ("done.json", "started.json")
        if path.is_file() and not marker and path.suffix != ".log":
            yield path


def _started_from(folder: Path) -> str | None:
    return _noted(folder / "started.json").get("fingerprint")


def _noted(marker: Path) -> dict[str, Any]:
    """Return a marker's content; nothing where there is none or it is damaged."""
    try:
        noted = json.loads(marker.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None

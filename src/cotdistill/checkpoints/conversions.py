"""Checkpoints in another runtime's or library's format, made once and kept in the cache folder."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from cotdistill.errors import StoreError


def converted(kind: str, name: str, convert: Callable[[Path], None]) -> Path:
    """Return the folder `name` of conversions of this kind; `convert` writes it when it is first
    needed.

    Two processes may convert the same checkpoint at the same time: each works in its own folder,
    the first to be done gives its folder the final name, and the other one's is removed.

    Raises:
        StoreError: the cache folder cannot be written.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cotdistill" / kind
    folder = base / name
    if folder.is_dir():
        return folder
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base, prefix=".partial-") as partial:
            made = Path(partial) / "checkpoint"
            convert(made)
            if not folder.is_dir():
                made.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was first
            raise StoreError(
                f"{folder}: cannot be written ({error.strerror or error}); "
                "free some space or set XDG_CACHE_HOME"
            ) from error
    return folder

"""Checksums of a checkpoint's files: its identity, and how corrupted weights are noticed.

`SHA256SUMS` has the format of `sha256sum`, so that `sha256sum --check SHA256SUMS` works as well.
"""

import hashlib
from pathlib import Path

from cotdistill.checkpoints.bundled import locate
from cotdistill.checkpoints.conversions import converted
from cotdistill.errors import StoreError, UserError
from cotdistill.util.files import file_hash, file_stamp
from cotdistill.util.naming import fingerprint

_SUMS = "SHA256SUMS"
_CONTENT = ("*.safetensors", "*.json", "*.model", "*.jinja", "*.txt")
_LARGE = 2**26
"""Bytes of a file that takes longer to read than to look up."""
_NOT_CONTENT = {"training.json", "trainer_state.json"}


def checkpoint_hash(model: str | Path | None) -> str | None:
    """Return the hash of a local checkpoint's content, so that a replaced one is noticed.

    None for a hub id or no checkpoint at all.
    """
    path = Path(locate(model or "")).expanduser()
    if model is None or not path.exists():
        return None
    return content_hash(path) if path.is_dir() else _hash(path)


def content_hash(folder: Path) -> str:
    """Return a hash of everything in a checkpoint folder that determines its completions."""
    lines = "".join(f"{path.name}\0{_hash(path)}\n" for path in _files(folder))
    return hashlib.sha256(lines.encode()).hexdigest()[:32]


def _hash(path: Path) -> str:
    """Return a file's hash; that of a large file is noted in the cache folder, by its stamp, so
    that a command that loads nothing does not read gigabytes.
    """
    stamp = file_stamp(path.resolve())
    if stamp[1] < _LARGE:
        return file_hash(path)

    def note(folder: Path) -> None:
        folder.mkdir()
        (folder / _SUMS).write_text(f"{file_hash(path)}  {path.name}\n", encoding="utf-8")

    try:
        noted = converted("hashes", fingerprint(stamp), note) / _SUMS
    except StoreError:  # a home that cannot be written
        return file_hash(path)
    return noted.read_text("utf-8").partition("  ")[0]


def seal(folder: Path, *more: str) -> None:
    """Write the checksums of a checkpoint's files beside them, and of those that `more` match."""
    files = {*_files(folder), *(path for pattern in more for path in folder.glob(pattern))}
    lines = "".join(f"{file_hash(path)}  {path.name}\n" for path in sorted(files))
    (folder / _SUMS).write_text(lines, encoding="utf-8")


def check(folder: Path) -> None:
    """Compare a checkpoint's files with the checksums beside them, if there are any.

    Raises:
        UserError: a file is missing or differs; the message names it.
    """
    sums = folder / _SUMS
    if not sums.is_file():
        return
    for line in sums.read_text("utf-8", errors="replace").splitlines():
        expected, _, name = line.partition("  ")
        path = folder / Path(name).name  # a name that leads elsewhere is not followed
        if not path.is_file() or file_hash(path) != expected:
            raise UserError(
                f"{path}: {'differs from' if path.exists() else 'is missing, but stands in'} "
                f"{_SUMS}; the file was damaged or replaced: make the checkpoint again "
                f"(or delete {_SUMS} if the change is meant)"
            )


def _files(folder: Path) -> list[Path]:
    found = {path for pattern in _CONTENT for path in folder.glob(pattern)}
    return sorted(path for path in found if path.name not in _NOT_CONTENT)

"""Files that lie elsewhere: addresses such as "s3://bucket/train.parquet", as fsspec knows them.

An object store needs its package (s3fs, gcsfs, adlfs) and reads its keys from the environment.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from cotdistill.errors import DataError, StoreError

# "user:password@" before the host.
_PASSWORD = re.compile(r"://[^/@:]*:[^/@]*@")


def is_address(source: str | Path) -> bool:
    """Return whether a source is the address of a file elsewhere, and no path."""
    return isinstance(source, str) and "://" in source


def fitting(address: str) -> list[str]:
    """Return the addresses that fit one with `*` in it, in the order of their names.

    Raises:
        DataError: the address has a password, or cannot be reached.
    """
    _refuse_password(address)
    if "*" not in address:
        return [address]
    try:
        import fsspec

        system, pattern = fsspec.core.url_to_fs(address)
        return sorted(map(system.unstrip_protocol, system.glob(pattern)))
    except Exception as error:  # each object store's client has errors of its own
        raise unreadable(address, error) from error


def open_address(address: str) -> BufferedIOBase:
    """Open a file for reading.

    Raises:
        DataError: it cannot be reached.
    """
    try:
        import fsspec

        file: BufferedIOBase = fsspec.open(address, "rb").open()
    except Exception as error:
        raise unreadable(address, error) from error
    return file


@contextmanager
def folder_for(target: str | Path) -> Iterator[Path]:
    """Give a folder to write to; if `target` is an address, its files are sent there at the end.

    Raises:
        DataError: the address has a password.
        StoreError: the files cannot be sent.
    """
    if not isinstance(target, str) or not is_address(target):
        yield Path(target)
        return
    _refuse_password(target)
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        try:
            import fsspec

            system, path = fsspec.core.url_to_fs(target)
            system.put(f"{name}/", f"{path.rstrip('/')}/", recursive=True)
        except Exception as error:
            raise StoreError(f"{target}: cannot be written: {_reason(error)}; {_HINT}") from error


def unreadable(file: str | Path, error: Exception) -> DataError:
    """Return the error of a file, here or elsewhere, that cannot be read."""
    hint = f"; {_HINT}" if is_address(file) else ""
    return DataError(f"{file}: cannot be read: {_reason(error)}{hint}")


_HINT = "check the address, and the keys in the environment"


def _reason(error: Exception) -> str:
    told = (isinstance(error, OSError) and error.strerror) or str(error)
    return " ".join(told.split())[:200] or type(error).__name__


def _refuse_password(address: str) -> None:
    if _PASSWORD.search(address):
        raise DataError(
            "an address with a password: it would stand in recipe, logs and messages; leave it "
            "out, and name the keys in the environment, where the client of the store reads them"
        )

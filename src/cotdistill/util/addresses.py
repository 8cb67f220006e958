"""Files that lie elsewhere: addresses such as "s3://bucket/train.parquet", as fsspec knows them.

    s3://bucket/train-*.parquet    https://host/q.jsonl?${DATA_SIGNATURE}

An object store needs its package (s3fs, gcsfs, adlfs) and reads its keys from the environment.
An address is stored, compared and shown as it is written. So no key may stand in it: what is secret
in it is named, `${NAME}`, and comes from the environment where a file is opened, and nowhere else.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from pydantic import SecretStr

from cotdistill.errors import CotdistillError, DataError, MissingExtra, StoreError, UserError
from cotdistill.util.secret import Secret

_NAMED = re.compile(r"\$\{(\w+)\}")
# "user:password@" before the host; digits and a slash behind the colon are a port, "host:80/a@b".
_PASSWORD = re.compile(r"(?<=://)[^/@:]*:(?!\d*/|:)[^@]+@")
# Whoever stands before the host of a web page is a token ("https://ghp_1234@host"); elsewhere it
# may be a container ("abfs://data@account").
_TOKEN = re.compile(r"(?<=http://)[^/@]+@|(?<=https://)[^/@]+@")
# Names of query fields that hold a secret: "key", "api-key", "access_token", "X-Amz-Signature".
_SECRET_FIELD = re.compile(
    r"(?:key|token|secret|signature|credential|password|passwd|pwd|auth)$|(?:^|[-_])sig$",
    re.IGNORECASE,
)
# And values that are drawn: many hex digits, a UUID, or capitals, small letters and digits mixed.
_DRAWN = re.compile(
    r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-"
    r"|(?=[\w+/=~-]*[A-Z])(?=[\w+/=~-]*[a-z])(?=[\w+/=~-]*\d)[\w+/=~-]{20}"
)
# An address with a query in the words of a client: where a page leads to may be signed as well.
_QUERY = re.compile(r"(\w+://[^\s'\"?]*)\?[^\s'\"]*")
_VERSIONS = ("versionid", "generation")
"""Query fields whose value is drawn and no secret."""
# The protocol of an address; one letter is a drive of Windows.
_AS_PATH = re.compile(r"[A-Za-z][\w+.-]+:/")
_BLOCK = 2**20
"""Bytes that are read at a time."""
_PATIENCE = 60
"""Seconds that a web server may send nothing."""
_CHECKSUMS = ("ETag", "etag", "md5Hash", "generation", "Content-MD5", "Digest")
"""What stores tell of a file that another content would change."""


def is_address(source: Any) -> bool:
    """Return whether a source is the address of a file elsewhere, and no path."""
    return isinstance(source, str) and "://" in source


def path_of(address: str) -> Path:
    """Return what an address has as a path: host and file, without query.

    Of a chain ("zip://q.csv::s3://bucket/all.zip") the first file counts.
    """
    links = [link for link in address.split("::") if "://" in link]
    return Path((links or [address])[0].partition("://")[2].partition("?")[0])


def key_in(address: str) -> str:
    """Return what in an address is a key, by name, never the key itself; "" where nothing is.

    What is named by `${NAME}` is none.
    """
    bare = _NAMED.sub("", address)
    if _PASSWORD.search(bare) or _TOKEN.search(bare):
        return "a password or token"
    for link in bare.split("::"):
        for name, value in parse_qsl(link.partition("?")[2], keep_blank_values=True):
            if _DRAWN.search(name):
                return "a token"
            drawn = _DRAWN.search(value) and name.lower() not in _VERSIONS
            if value and (drawn or _SECRET_FIELD.search(name)):
                return f"what reads as a key (`{name}`)"
    return ""


def refuse_key(address: str, place: str = "") -> None:
    """Refuse an address with a key in it: it would be stored, shown and logged.

    Raises:
        DataError: it has one; the message does not hold it.
    """
    if found := key_in(address):
        shown = _PASSWORD.sub("…@", _TOKEN.sub("…@", address.partition("?")[0]))
        raise DataError(
            f"{place + ': ' if place else ''}{shown}: an address with {found}, which would stand "
            "in the run folder and in messages; put it into an environment variable and write its "
            "name, ${NAME}, into the address (of an endpoint: `key_env`)"
        )


def refuse_address(path: Any, place: str) -> None:
    """Refuse an address that was read as a path, which takes one of its slashes: "s3:/bucket/q".

    Raises:
        UserError: it is one.
    """
    if isinstance(path, Path) and _AS_PATH.match(str(path)):
        whole = str(path).replace(":/", "://", 1)
        refuse_key(whole, place)
        raise UserError(f"{place}: {whole} is an address; name a path on this machine")


def fitting(address: str) -> list[str]:
    """Return the addresses that fit one with `*` in it, in the order of their names.

    Raises:
        DataError: the address has a key, or cannot be reached.
    """
    refuse_key(address)
    if "*" not in address:
        return [address]
    with _reaching(address) as whole:
        system, pattern = _system(whole)
        names = sorted(system.glob(pattern))
    # What stands before and behind the name stays as it is written, names of variables among it.
    end = address.find("::", address.index("*"))
    before, behind = address[: _name_at(address)], address[end:] if end >= 0 else ""
    return [f"{before}{name[_name_at(pattern) :]}{behind}" for name in names]


def _name_at(pattern: str) -> int:
    """Return where the first part of a path begins that has a `*`."""
    return pattern.rfind("/", 0, pattern.index("*")) + 1


def stamps(address: str) -> list[list[Any] | None]:
    """Return name, size and checksum of each file that fits, as its store tells them; None for one
    of which it tells no checksum: only reading shows that it has not changed.

    Raises:
        DataError: the address cannot be reached.
    """
    refuse_key(address)
    with _reaching(address) as whole:
        system, path = _system(whole)
        several = "*" in address
        found = system.glob(path, detail=True) if several else {path_of(address): system.info(path)}
        return [_stamp(str(name), info) for name, info in sorted(found.items())]


def _stamp(name: str, info: Mapping[str, Any]) -> list[Any] | None:
    told = [str(info[field]) for field in _CHECKSUMS if info.get(field)]
    # A weak ETag stays the same where a server holds two contents for the same.
    sure = [one for one in told if not one.startswith("W/")]
    return [name, info.get("size"), *sure] if sure else None


@contextmanager
def open_address(address: str) -> Iterator[BufferedIOBase]:
    """Open a file for reading.

    Raises:
        DataError: it cannot be reached, or not be read to its end.
    """
    refuse_key(address)
    with _reaching(address) as whole:
        system, path = _system(whole)
        if not _is_page(whole):
            with BufferedReader(system.open(path, "rb"), _BLOCK) as file:
                yield file
            return
        # Many web servers cannot send a part of a file, which Parquet is read by.
        with system.open(path, "rb", block_size=0) as page, tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(page, copy, _BLOCK)
            copy.seek(0)
            yield copy


@contextmanager
def folder_for(target: str | Path) -> Iterator[Path]:
    """Give a folder to write to; if `target` is an address, its files are sent there at the end.

    Raises:
        DataError: the address has a key.
        StoreError: the address cannot be written; what was made by then is kept, and named.
    """
    if not isinstance(target, str) or not is_address(target):
        yield Path(target)
        return
    refuse_key(target)
    with _reaching(target, "written") as whole:
        _system(whole)  # an unknown kind of store is told before anything is made
        if _is_page(whole):
            raise StoreError(f"{target}: a web page cannot be written; name an object store")
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
        with _reaching(target, "written", f"; what was to be sent is in {folder}") as whole:
            _send(folder, *_system(whole))
    except StoreError as error:
        if str(folder) not in str(error):
            shutil.rmtree(folder)
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _send(folder: Path, system: Any, path: str) -> None:
    """Send each file: an object store shows it when it is whole. The card comes last."""
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    for file in sorted(files, key=lambda one: one.suffix == ".md"):
        to = f"{path.rstrip('/')}/{file.relative_to(folder).as_posix()}"
        if not system.async_impl:  # an object store has no folders, and would make a bucket
            system.makedirs(to.rpartition("/")[0], exist_ok=True)
        system.put_file(str(file), to)


def unreadable(file: str | Path, error: Exception) -> DataError:
    """Return the error of a file on this machine that cannot be read."""
    return DataError(f"{file}: cannot be read: {_reason(error)}")


def _is_page(whole: str) -> bool:
    return whole.startswith(("http://", "https://"))


def _system(whole: str) -> tuple[Any, str]:
    """Return the store of an address and the path in it; nothing noted of it earlier counts."""
    import fsspec

    settings: dict[str, Any] = {}
    if _is_page(whole):
        import aiohttp

        # Whole files are fetched: not their size limits the time, but how long nothing comes.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_PATIENCE)
        settings = {"client_kwargs": {"timeout": timeout}}
    system, path = fsspec.core.url_to_fs(whole, **settings)
    system.invalidate_cache()
    return system, path


@contextmanager
def _reaching(address: str, what: str = "read", more: str = "") -> Iterator[str]:
    """Give the whole address, and turn what its store's client raises into one line.

    The words of a client may quote the address with its secrets, which are cut out.
    """
    secrets = list[Secret]()

    def value(name: re.Match[str]) -> str:
        if (found := os.environ.get(name[1])) is None:
            raise DataError(f"{address}: the environment variable {name[1]} is not set; set it")
        secrets.append(Secret(SecretStr(found)))
        return found

    try:
        yield _NAMED.sub(value, address)
    except CotdistillError:
        raise
    except Exception as error:  # noqa: BLE001  each client has errors of its own
        kind: type[CotdistillError] = DataError if what == "read" else StoreError
        hint = "; check the address, and the keys in the environment"
        if isinstance(error, ImportError):  # "Install s3fs to access S3"
            kind, hint = MissingExtra, ""
        line = f"{address}: cannot be {what}: {_reason(error, secrets)}{hint}{more}"
        # A traceback would show the client's own error, secrets and all.
        raise kind(line) from (None if secrets or _is_page(address) else error)


def _reason(error: Exception, secrets: Sequence[Secret] = ()) -> str:
    told = (isinstance(error, OSError) and error.strerror) or str(error)
    if isinstance(error, FileNotFoundError) and not error.strerror:  # its words are a path alone
        told = str(error.__cause__ or "no such file")
    told = _QUERY.sub(r"\1?…", told)
    for secret in secrets:
        told = secret.cut_text(told)
    return " ".join(told.split())[:200] or type(error).__name__

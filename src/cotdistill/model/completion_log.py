"""Every completion that was paid for, kept for good in one SQLite file, keyed by all that determines it.

`request_key` is the SHA-256 of the canonical JSON of the log's format, the model's identity (model, endpoint, system
prompt, ...) and the request (prompt, sampling, stop, prefill); the sample index stands beside it. Changing any of them is
another key, so an old answer is never returned for a new question; adding rows or samples asks only for what is new.

A reply counts only after its transaction is committed. Replies that arrive in the same moment share one transaction.
The journal is a write-ahead log with `synchronous=NORMAL`: a kill of the process loses nothing that was committed; a power cut
can lose the last transactions but does not damage the file (`durable="full"` syncs each one and loses none).
Several processes may write: SQLite serialises them, and a busy file is tried again without stopping the event loop.
Left out: network file systems, where SQLite's write-ahead log is not safe.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from cotdistill.errors import StoreError
from cotdistill.records import Completion, Request

__all__ = [
    "CompletionLog",
    "LogEntry",
    "canonical_json",
    "key_maker",
    "request_json",
    "request_key",
]

FORMAT = 1
"""Version of the key and of the tables; part of every key."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS models (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, model INTEGER NOT NULL REFERENCES models, request TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS completions (
    request INTEGER NOT NULL REFERENCES requests, sample INTEGER NOT NULL, text TEXT NOT NULL, reasoning TEXT NOT NULL,
    finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cached_prompt_tokens INTEGER NOT NULL, logprob REAL, arrived REAL NOT NULL,
    PRIMARY KEY (request, sample)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "text, sample, reasoning, finish_reason, prompt_tokens, completion_tokens, cached_prompt_tokens, logprob"
_ADD_REQUEST = (
    "INSERT INTO requests (key, model, request) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING"
)
_FIND_REQUEST = "SELECT id FROM requests WHERE key = ?"
_ADD_COMPLETION = f"INSERT OR IGNORE INTO completions (request, {_COLUMNS}, arrived) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space: the same value is always the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def request_json(request: Request) -> str:
    """`canonical_json(request.to_json())`, put together by hand where the prompt is plain text: a quarter of the time."""
    if not isinstance(request.prompt, str):
        return canonical_json(request.to_json())
    stop = ",".join(map(_quoted, request.stop))
    return (
        f'{{"max_tokens":{_number(request.max_tokens)},"prefill":{_quoted(request.prefill)},"prompt":{_quoted(request.prompt)},'
        f'"stop":[{stop}],"temperature":{_number(request.temperature)},"top_p":{_number(request.top_p)}}}'
    )


_number = functools.lru_cache(maxsize=64, typed=True)(json.dumps)


def request_key(identity: Mapping[str, Any], request: Request) -> str:
    """The fingerprint of one request to one model, 64 hexadecimal digits."""
    return key_maker(canonical_json(identity))(request_json(request))


class key_maker:  # noqa: N801  (used as a function: the hash of the part that all requests share is computed once)
    """Makes the keys of one model's requests from its identity in canonical JSON."""

    def __init__(self, identity_json: str) -> None:
        self._prefix = hashlib.sha256(
            f'{{"format":{FORMAT},"identity":{identity_json},"request":'.encode()
        )

    def __call__(self, request_json: str) -> str:
        digest = self._prefix.copy()
        digest.update(request_json.encode())
        digest.update(b"}")
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One completion with everything that led to it; `to_json` is a line of an exported log."""

    key: str
    identity: dict[str, Any]
    request: dict[str, Any]
    completion: Completion
    arrived: float

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "identity": self.identity,
            "request": self.request,
            "completion": self.completion.to_json(),
            "arrived": self.arrived,
        }


_Row = tuple[str, str, str, Sequence[Completion]]


class CompletionLog:
    """The completion log in one file. Use it inside one event loop at a time; other processes may use the file too.

    Raises:
        StoreError: the file cannot be opened, read or written; the message says what became of the completions.
    """

    def __init__(
        self,
        path: Path,
        *,
        durable: Literal["normal", "full"] = "normal",
        read_only: bool = False,
        lock_patience_s: float = 60.0,
    ) -> None:
        self.path = path
        self._lock_patience_s = lock_patience_s
        self._pending: list[tuple[_Row, asyncio.Future[None]]] = []
        self._scheduled = False
        self._busy_since: float | None = None
        self.damaged = 0
        self._models: dict[str, int] = {}
        try:
            self._database = _connect_to_read(path) if read_only else _connect(path, durable)
        except (sqlite3.Error, OSError) as error:
            self._refuse(error)

    def get(self, key: str, first_sample: int, samples: int) -> dict[int, Completion]:
        """The completions of a key that are there, by sample index, among `samples` from `first_sample` on."""
        query = (
            f"SELECT {_COLUMNS} FROM completions WHERE request = (SELECT id FROM requests WHERE key = ?)"
            " AND sample >= ? AND sample < ?"
        )
        try:
            rows = self._database.execute(
                query, (bytes.fromhex(key), first_sample, first_sample + samples)
            ).fetchall()
        except sqlite3.Error as error:
            self._refuse(error)
        return {row[1]: _completion(row, key) for row in rows}

    async def put(
        self, key: str, identity_json: str, request_json: str, completions: Sequence[Completion]
    ) -> None:
        """Keep completions of one request; returns once they are committed. What is there already stays as it is."""
        loop = asyncio.get_running_loop()
        committed: asyncio.Future[None] = loop.create_future()
        self._pending.append(((key, identity_json, request_json, completions), committed))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._commit_pending)
        await committed

    def note(self, name: str, value: Any) -> None:
        """Keep a small JSON value under a name (the state of a batch under way); None removes it."""
        try:
            with self._database:
                if value is None:
                    self._database.execute("DELETE FROM notes WHERE name = ?", (name,))
                else:
                    self._database.execute(
                        "INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, canonical_json(value))
                    )
        except sqlite3.Error as error:
            self._refuse(error)

    def notes(self, prefix: str) -> dict[str, Any]:
        """The kept values whose names start with `prefix`."""
        query = "SELECT name, value FROM notes WHERE substr(name, 1, ?) = ? ORDER BY name"
        try:
            rows = self._database.execute(query, (len(prefix), prefix)).fetchall()
        except sqlite3.Error as error:
            self._refuse(error)
        return {name: json.loads(value) for name, value in rows}

    def entries(self) -> Iterator[LogEntry]:
        """All completions, in the order their requests were first logged.

        Requests on damaged pages are passed over and counted in `damaged`; all others come.
        """
        self.damaged = 0
        try:
            (highest,) = self._database.execute(
                "SELECT coalesce(max(id), 0) FROM requests"
            ).fetchone()
            models = {
                id: json.loads(i)
                for id, i in self._database.execute("SELECT id, identity FROM models")
            }
        except sqlite3.Error as error:
            self._refuse(error)
        for start in range(0, highest, 200):
            for request_id, key, model, request in self._requests(start, start + 200):
                for *row, arrived in self._whole(
                    f"SELECT {_COLUMNS}, arrived FROM completions WHERE request = ?", request_id
                ):
                    yield LogEntry(
                        key.hex(),
                        models[model],
                        json.loads(request),
                        _completion(row, key.hex()),
                        arrived,
                    )

    def _requests(self, above: int, to: int) -> list[tuple[int, bytes, int, str]]:
        query = "SELECT id, key, model, request FROM requests WHERE id > ? AND id <= ? ORDER BY id"
        try:
            return self._database.execute(query, (above, to)).fetchall()
        except sqlite3.DatabaseError:
            query = "SELECT id, key, model, request FROM requests WHERE id = ?"
            return [row for id in range(above + 1, to + 1) for row in self._whole(query, id)]

    def _whole(self, query: str, id: int) -> list[Any]:
        try:
            return self._database.execute(query, (id,)).fetchall()
        except sqlite3.DatabaseError:
            self.damaged += 1
            return []

    def summary(self) -> list[tuple[str, int, int, int, int]]:
        """Per model: identity as JSON, requests, completions, prompt tokens, completion tokens."""
        try:
            return self._database.execute(
                "SELECT m.identity, count(DISTINCT r.id), count(c.sample), coalesce(sum(c.prompt_tokens), 0),"
                " coalesce(sum(c.completion_tokens), 0) FROM models m LEFT JOIN requests r ON r.model = m.id"
                " LEFT JOIN completions c ON c.request = r.id GROUP BY m.id ORDER BY m.id"
            ).fetchall()
        except sqlite3.Error as error:
            self._refuse(error)

    def prune(self, *, identity_json: str | None = None, before: float | None = None) -> int:
        """Delete the completions of one model and/or those that arrived before a time; returns how many."""
        terms = ["1"] if identity_json is None and before is None else []
        values: list[Any] = []
        if identity_json is not None:
            terms.append(
                "request IN (SELECT r.id FROM requests r JOIN models m ON m.id = r.model WHERE m.identity = ?)"
            )
            values.append(identity_json)
        if before is not None:
            terms.append("arrived < ?")
            values.append(before)
        try:
            with self._database:
                gone = self._database.execute(
                    f"DELETE FROM completions WHERE {' AND '.join(terms)}", values
                ).rowcount
                self._database.execute(
                    "DELETE FROM requests WHERE id NOT IN (SELECT request FROM completions)"
                )
                self._database.execute(
                    "DELETE FROM models WHERE id NOT IN (SELECT model FROM requests)"
                )
            self._models.clear()
            self._database.execute("VACUUM")
        except sqlite3.Error as error:
            self._refuse(error)
        return gone

    def add(self, entries: Iterable[tuple[str, str, str, Sequence[Completion]]]) -> None:
        """Keep many completions at once, in one transaction (the import of an exported log)."""
        try:
            self._write(entries)
        except sqlite3.Error as error:
            self._refuse(error)

    def close(self) -> None:
        """Commit what is pending and close the file."""
        if self._pending:
            self._database.execute("PRAGMA busy_timeout=30000")
            self._lock_patience_s = 0.0
            self._commit_pending()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _commit_pending(self) -> None:
        self._scheduled = False
        batch, self._pending = self._pending, []
        if not batch:
            return
        try:
            self._write(row for row, _ in batch)
        except sqlite3.Error as error:
            if self._wait_for_lock(error):
                self._pending = batch + self._pending
                return
            failure = StoreError(_explain(self.path, error))
            for _, committed in batch:
                if not committed.done():
                    committed.set_exception(failure)
            return
        self._busy_since = None
        for _, committed in batch:
            if not committed.done():
                committed.set_result(None)

    def _wait_for_lock(self, error: sqlite3.Error) -> bool:
        """Whether another process holds the file and there is patience left; then the commit is tried again soon."""
        if _code(error) not in _BUSY:
            return False
        now = time.monotonic()
        self._busy_since = self._busy_since or now
        if now - self._busy_since >= self._lock_patience_s:
            return False
        self._scheduled = True
        asyncio.get_running_loop().call_later(random.uniform(0.002, 0.03), self._commit_pending)
        return True

    def _write(self, rows: Iterable[_Row]) -> None:
        database, now = self._database, time.time()
        database.execute("BEGIN IMMEDIATE")
        try:
            for key, identity_json, request_json, completions in rows:
                model = self._models.get(identity_json)
                if model is None:
                    model = self._model_id(identity_json)
                digest = bytes.fromhex(key)
                added = database.execute(_ADD_REQUEST, (digest, model, request_json))
                request_id = added.lastrowid
                if added.rowcount == 0:
                    (request_id,) = database.execute(_FIND_REQUEST, (digest,)).fetchone()
                for completion in completions:
                    database.execute(_ADD_COMPLETION, (request_id, *_values(completion), now))
            database.execute("COMMIT")
        except BaseException:
            self._models.clear()
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _model_id(self, identity_json: str) -> int:
        self._database.execute(
            "INSERT OR IGNORE INTO models (identity) VALUES (?)", (identity_json,)
        )
        (found,) = self._database.execute(
            "SELECT id FROM models WHERE identity = ?", (identity_json,)
        ).fetchone()
        self._models[identity_json] = found
        return int(found)

    def _refuse(self, error: Exception) -> NoReturn:
        raise StoreError(_explain(self.path, error)) from error


def _completion(row: Sequence[Any], key: str) -> Completion:
    text, sample, reasoning, finish_reason, prompt_tokens, completion_tokens, cached, logprob = row
    return Completion(
        text,
        sample,
        reasoning,
        finish_reason,
        prompt_tokens,
        completion_tokens,
        cached,
        logprob,
        key,
    )


def _storable(text: str) -> str:
    """The text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _values(c: Completion) -> tuple[Any, ...]:
    counts = c.prompt_tokens, c.completion_tokens, c.cached_prompt_tokens
    return (
        _storable(c.text),
        c.sample_index,
        _storable(c.reasoning),
        c.finish_reason,
        *counts,
        c.logprob,
    )


def _connect(path: Path, durable: str) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=30.0, isolation_level=None)
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in (0, FORMAT):
        database.close()
        raise StoreError(
            f"completion log {path}: written in format {version}; this version reads format {FORMAT}"
        )
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={'FULL' if durable == 'full' else 'NORMAL'}")
    database.execute("PRAGMA wal_autocheckpoint=4000")
    if version == 0:
        database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")
    # From here on a lock held by another process must not stop the event loop: see `_wait_for_lock`.
    database.execute("PRAGMA busy_timeout=0")
    return database


def _connect_to_read(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0, isolation_level=None
    )
    try:
        database.execute("SELECT count(*) FROM models").fetchone()
    except sqlite3.OperationalError:
        # A write-ahead log needs a writable folder even for reading; without one the file itself can still be read.
        database.close()
        database = sqlite3.connect(
            f"{path.absolute().as_uri()}?immutable=1", uri=True, isolation_level=None
        )
    return database


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for an error that SQLite itself did not raise."""
    return int(vars(error).get("sqlite_errorcode", 0)) & 0xFF


def _explain(path: Path, error: Exception) -> str:
    saved = f"what was committed before is safe: `cotdistill cache export {path}` reads it"
    advice = {
        sqlite3.SQLITE_FULL: f"the disk is full; free some space and run again; {saved}",
        sqlite3.SQLITE_IOERR: f"the disk refused to read or write; check its space and health; {saved}",
        sqlite3.SQLITE_READONLY: f"the file or its folder is read-only; make it writable or choose another run folder; {saved}",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the folder exists and is writable",
        sqlite3.SQLITE_BUSY: f"another process keeps it locked; end that one and run again; {saved}",
        sqlite3.SQLITE_LOCKED: f"another process keeps it locked; end that one and run again; {saved}",
        sqlite3.SQLITE_NOTADB: "it is no completion log; move it away, or name another file",
        sqlite3.SQLITE_CORRUPT: f"the file is damaged; {saved} as far as it is whole; then move it away",
    }.get(_code(error), "check the path")
    return f"completion log {path}: {error}; {advice}"

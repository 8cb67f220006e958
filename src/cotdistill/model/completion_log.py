"""Keep every completion that was paid for in one SQLite file, keyed by all that determines it.

`request_key` is the SHA-256 of the canonical JSON of the log's format, the model's identity (model,
endpoint, system prompt, ...) and the request (prompt, sampling, stop, prefill); the sample index
stands beside it. Changing any of them is another key, so an old answer is never returned for a new
question; adding rows or samples asks only for what is new.

Beside the completions the file holds what several processes must agree on:

    claims        what each live process is asking for: two runs do not pay for one request twice
    counts        tokens, money and events of each run, added up in the transactions that keep the
                  completions: what a killed call spent is in them
    reservations  requests under way of a run that has a budget
    notes         small values, such as the state of a batch

A process is alive while it holds the lock on its file `<log>.<id>.lock`; the system frees the lock
when the process ends, however it ends. Claims of the dead are taken over, and their reservations
count as spent: the endpoint may have answered.

A reply counts only after its transaction is committed. There is one transaction in `COMMIT_GAP_S`
at most, which what happens meanwhile shares; the first after a pause is not held up. The journal is
a write-ahead log with `synchronous=NORMAL`: a kill of the process loses nothing that was committed;
a power cut can lose the last transactions but does not damage the file (`durable="full"` syncs each
one and loses none). A busy file is tried again without stopping the event loop. Left out: network
file systems, where SQLite's write-ahead log is not safe.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import random
import secrets
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypeVar

import orjson

from cotdistill.errors import CotdistillError, StoreError
from cotdistill.records import Completion, Request

_Result = TypeVar("_Result")
Counts = defaultdict[tuple[str, str], float]
"""Sums by role and name, such as ("teacher", "prompt_tokens")."""

FORMAT = 3
"""Version of the key and of the tables; part of every key."""
COMMIT_GAP_S = 0.004
"""Least time between two transactions, in seconds: a commit costs as much as a dozen replies."""

_SCHEMA = """
CREATE TABLE models (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
CREATE TABLE requests (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,
    model INTEGER NOT NULL REFERENCES models, request TEXT NOT NULL);
CREATE TABLE completions (
    request INTEGER NOT NULL REFERENCES requests, sample INTEGER NOT NULL, text TEXT NOT NULL,
    reasoning TEXT NOT NULL, finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cached_prompt_tokens INTEGER NOT NULL, logprob REAL,
    arrived REAL NOT NULL, PRIMARY KEY (request, sample)) WITHOUT ROWID;
CREATE TABLE claims (owner INTEGER PRIMARY KEY, signs BLOB NOT NULL);
CREATE TABLE counts (
    run TEXT NOT NULL, role TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (run, role, name)) WITHOUT ROWID;
CREATE TABLE reservations (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, role TEXT NOT NULL, owner INTEGER NOT NULL,
    tokens INTEGER NOT NULL, money REAL NOT NULL);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = (
    "text, sample, reasoning, finish_reason, prompt_tokens, completion_tokens,"
    " cached_prompt_tokens, logprob"
)
_ADD_REQUEST = (
    "INSERT INTO requests (key, model, request) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING"
)
_FIND_REQUEST = "SELECT id FROM requests WHERE key = ?"
_ADD_COMPLETION = (
    f"INSERT OR IGNORE INTO completions (request, {_COLUMNS}, arrived)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_COUNT = (
    "INSERT INTO counts VALUES (?, ?, ?, ?)"
    " ON CONFLICT (run, role, name) DO UPDATE SET value = value + excluded.value"
)
_GET = f"SELECT {_COLUMNS} FROM completions WHERE request = ? AND sample >= ? AND sample < ?"
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no white space: the same value is always the same text."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # what only Python's own JSON can write: halves of surrogate pairs, long ints
        return json.dumps(value, sort_keys=True, separators=(",", ":"))


def request_json(request: Request) -> str:
    """Return the request in canonical JSON."""
    return canonical_json(request.to_json())


def request_key(identity_json: str, request_json: str) -> str:
    """Return the fingerprint of one request to one model, 64 hexadecimal digits."""
    text = f'{{"format":{FORMAT},"identity":{identity_json},"request":{request_json}}}'
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One completion with everything that led to it; `to_json` is a line of an exported log."""

    key: str
    identity: dict[str, Any]
    request: dict[str, Any]
    completion: Completion
    arrived: float

    def to_json(self) -> dict[str, Any]:
        """Return the line as a dictionary."""
        return {
            "key": self.key,
            "identity": self.identity,
            "request": self.request,
            "completion": self.completion.to_json(),
            "arrived": self.arrived,
        }


@dataclass(frozen=True, slots=True)
class Reserved:
    """The largest cost of one run's requests under way, and their number."""

    requests: int
    tokens: int
    money: float
    largest_tokens: int
    largest_money: float


class CompletionLog:
    """The completion log in one file, or in memory without a path. Use it in one event loop.

    `run` names whose counts and reservations are meant where several runs share the file. `counts`
    is added to the run's sums, and emptied, in the next transaction. What is not in the file is
    looked for in the log `base`, if there is one, which is only read.

    Raises:
        StoreError: the file cannot be opened, read or written; the message says what is safe.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        run: str = "",
        durable: Literal["normal", "full"] = "normal",
        read_only: bool = False,
        lock_patience_s: float = 60.0,
        base: Path | None = None,
    ) -> None:
        self.path = path
        there = base is not None and base.exists()
        self._base = CompletionLog(base, read_only=True) if there else None
        self.run = run
        self.counts: Counts = defaultdict(float)
        self._lock_patience_s = lock_patience_s
        self._pending: list[tuple[Callable[[], Any], asyncio.Future[Any] | None]] = []
        self._scheduled: asyncio.AbstractEventLoop | None = None
        self._committed_at = 0.0
        self._busy_since: float | None = None
        self._models: dict[str, int] = {}
        self._claimed: dict[bytes, int] = {}
        self._claims_changed = False
        self._lock: int | None = None
        self._owner = secrets.randbits(62)
        try:
            self._database = _connect_to_read(path) if read_only else _connect(path, durable)
        except (sqlite3.Error, OSError) as error:
            self._refuse(error)

    # Completions.

    def get(self, key: str, first_sample: int, samples: int) -> dict[int, Completion]:
        """Return the completions of a key among `samples` from `first_sample` on, by index."""
        try:
            found = self._database.execute(_FIND_REQUEST, (bytes.fromhex(key),)).fetchone()
        except sqlite3.Error as error:
            self._refuse(error)
        base = self._base.get(key, first_sample, samples) if self._base is not None else {}
        if found is None:  # what is asked for the first time costs one look
            return base
        rows = self._select(_GET, found[0], first_sample, first_sample + samples)
        return {**base, **{row[1]: _completion(row, key) for row in rows}}

    def knows(self, identity_json: str) -> bool:
        """Return whether a model of this identity has ever answered."""
        if self._base is not None and self._base.knows(identity_json):
            return True
        return bool(self._select("SELECT 1 FROM models WHERE identity = ?", identity_json))

    async def put(
        self, key: str, identity_json: str, request_json: str, completions: Sequence[Completion]
    ) -> list[Completion]:
        """Keep completions of one request; return them with their key, once they are committed.

        What is there already stays as it is. The caller's claim on the key, if any, ends in the
        same transaction.
        """
        rows = list(map(_values, completions))

        def put() -> None:
            self._put(key, identity_json, request_json, rows)
            self._unclaim(key)

        await self._soon(put)
        return [_completion(row, key) for row in rows]

    def add(self, entries: Iterable[tuple[str, str, str, Sequence[Completion]]]) -> None:
        """Keep many completions at once, in one transaction (the import of an exported log)."""
        try:
            with self._transaction():
                for key, identity_json, request_json, completions in entries:
                    self._put(key, identity_json, request_json, map(_values, completions))
        except sqlite3.Error as error:
            self._refuse(error)

    def entries(self) -> Iterator[LogEntry]:
        """Yield all completions in the order in which their requests were first logged."""
        identities = dict(self._select("SELECT id, identity FROM models"))
        query = (
            f"SELECT key, model, r.request, arrived, {_COLUMNS} FROM requests r"
            " JOIN completions c ON c.request = r.id ORDER BY r.id, sample"
        )
        try:
            for key, model, request, arrived, *row in self._database.execute(query):
                completion = _completion(row, key.hex())
                identity, wanted = json.loads(identities[model]), json.loads(request)
                yield LogEntry(key.hex(), identity, wanted, completion, arrived)
        except sqlite3.Error as error:
            self._refuse(error)

    def summary(self) -> list[tuple[str, int, int, int, int]]:
        """Return per model: identity as JSON, requests, completions, prompt and reply tokens."""
        return self._select(
            "SELECT m.identity, count(DISTINCT r.id), count(c.sample),"
            " coalesce(sum(c.prompt_tokens), 0), coalesce(sum(c.completion_tokens), 0)"
            " FROM models m LEFT JOIN requests r ON r.model = m.id"
            " LEFT JOIN completions c ON c.request = r.id GROUP BY m.id ORDER BY m.id"
        )

    def sample(self, identity_json: str, most: int) -> list[tuple[str, int, int, int, float]]:
        """Return up to so many of a model's completions, spread evenly over its requests.

        Each as request in JSON, prompt tokens, reply tokens, characters of the reply, and the time
        of arrival in seconds.
        """
        (known,) = self._select(
            "SELECT count(*) FROM requests WHERE model ="
            " (SELECT id FROM models WHERE identity = ?)",
            identity_json,
        )[0]
        return self._select(
            "SELECT r.request, c.prompt_tokens, c.completion_tokens,"
            " length(c.text) + length(c.reasoning), c.arrived"
            " FROM requests r JOIN completions c ON c.request = r.id"
            " WHERE r.model = (SELECT id FROM models WHERE identity = ?) AND r.id % ? = 0"
            " ORDER BY c.arrived LIMIT ?",
            *(identity_json, max(1, known // most), most),
        )

    def prune(self, *, identity_json: str | None = None, before: float | None = None) -> int:
        """Delete the completions of one model and/or those older than a time; return how many."""
        terms, values = ["1"], list[Any]()
        if identity_json is not None:
            terms.append(
                "request IN (SELECT r.id FROM requests r JOIN models m ON m.id = r.model"
                " WHERE m.identity = ?)"
            )
            values.append(identity_json)
        if before is not None:
            terms.append("arrived < ?")
            values.append(before)
        delete = f"DELETE FROM completions WHERE {' AND '.join(terms)}"
        try:
            with self._transaction():
                gone = self._database.execute(delete, values).rowcount
                for table, column, used in (
                    ("requests", "request", "completions"),
                    ("models", "model", "requests"),
                ):
                    self._database.execute(
                        f"DELETE FROM {table} WHERE id NOT IN (SELECT {column} FROM {used})"
                    )
            self._models.clear()
            self._database.execute("VACUUM")
        except sqlite3.Error as error:
            self._refuse(error)
        return gone

    # What processes agree on.

    async def claim(self, key: str, indices: Sequence[int]) -> dict[int, Completion] | None:
        """Return which of these completions are there; claim the key where any is missing.

        None: another live process is asking for the key. A caller who has got a claim must `put` or
        `release` afterwards. Callers of one process share a claim.
        """
        done: asyncio.Future[dict[int, Completion] | None]
        done = asyncio.get_running_loop().create_future()
        # Nobody would give back what is claimed for a caller who was cancelled meanwhile.
        self._later(lambda: None if done.cancelled() else self._claim(key, indices), done)
        try:
            return await done
        except asyncio.CancelledError:
            found = None if done.cancelled() else done.result()
            if found is not None and len(found) < len(indices):
                self.release(key)
            raise

    def release(self, key: str) -> None:
        """Give back a claim where there is nothing to `put`."""
        self._later(partial(self._unclaim, key))

    async def reserve(
        self,
        role: str,
        tokens: int,
        money: float,
        allow: Callable[[Counts, Reserved, int, float], bool],
    ) -> int | None:
        """Reserve what a request may cost if `allow` agrees to the state it would be added to.

        Raises:
            whatever `allow` raises.
        """
        return await self._soon(partial(self._reserve, role, tokens, money, allow))

    def settle(self, reservation: int) -> None:
        """End a reservation: what the request really cost is in `counts`."""
        end = "DELETE FROM reservations WHERE id = ?"
        self._later(partial(self._database.execute, end, (reservation,)))

    def read_counts(self) -> Counts:
        """Return the run's sums as they stand in the file."""
        rows = self._select("SELECT role, name, value FROM counts WHERE run = ?", self.run)
        return defaultdict(float, {(role, name): value for role, name, value in rows})

    def note(self, name: str, value: Any) -> None:
        """Keep a small JSON value under a name (the state of a batch); None removes it."""
        query, values = "INSERT OR REPLACE INTO notes VALUES (?, ?)", [name, canonical_json(value)]
        if value is None:
            query, values = "DELETE FROM notes WHERE name = ?", [name]
        try:
            self._database.execute(query, values)
        except sqlite3.Error as error:
            self._refuse(error)

    def notes(self, prefix: str) -> dict[str, Any]:
        """Return the kept values whose names start with `prefix`."""
        query = "SELECT name, value FROM notes WHERE substr(name, 1, ?) = ? ORDER BY name"
        return {name: json.loads(value) for name, value in self._select(query, len(prefix), prefix)}

    # Transactions.

    def close(self) -> None:
        """Commit what is pending, give back all claims and close the file."""
        if self._base is not None:
            self._base.close()
        try:
            if self._pending or self.counts or self._claimed or self._lock is not None:
                self._database.execute("PRAGMA busy_timeout=30000")
                self._lock_patience_s = 0.0
                self._pending.append((partial(self._forget, self._owner), None))
                self._commit()
        finally:
            self._database.close()
            if self._lock is not None:
                self._lock_file(self._owner).unlink(missing_ok=True)
                os.close(self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _soon(self, operation: Callable[[], _Result]) -> _Result:
        """Run an operation in the next transaction and return its result, once committed."""
        done: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._later(operation, done)
        return await done

    def _later(self, operation: Callable[[], Any], done: asyncio.Future[Any] | None = None) -> None:
        self._pending.append((operation, done))
        loop = asyncio.get_running_loop()
        if self._scheduled is not loop:  # a loop that ended before its time takes its timers along
            self._scheduled = loop
            wait = self._committed_at + COMMIT_GAP_S - time.monotonic()
            loop.call_later(wait, self._commit) if wait > 0 else loop.call_soon(self._commit)

    def _commit(self) -> None:
        """Run what is pending in one transaction; try again soon where another process writes."""
        self._scheduled = None
        batch, self._pending = self._pending, []
        results: list[Any] = []
        try:
            with self._transaction():
                for operation, _ in batch:
                    try:
                        results.append(operation())
                    except CotdistillError as error:
                        results.append(error)
        except sqlite3.Error as error:
            if self._wait_for_lock(error):
                self._pending = batch + self._pending
                return
            results = [StoreError(_explain(self.path, error))] * len(batch)
        self._busy_since, self._committed_at = None, time.monotonic()
        for (_, done), result in zip(batch, results, strict=True):
            if done is None or done.done():
                continue
            if isinstance(result, CotdistillError):
                done.set_exception(result)
            else:
                done.set_result(result)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, the waiting `counts` included."""
        database, counts = self._database, self.counts
        database.execute("BEGIN IMMEDIATE")
        try:
            rows = [(self.run, *place, value) for place, value in counts.items()]
            database.executemany(_ADD_COUNT, rows)
            self.counts = defaultdict(float)
            yield
            if self._claims_changed and self._lock is not None:
                write = "INSERT OR REPLACE INTO claims VALUES (?, ?)"
                database.execute(write, (self._owner, b"".join(self._claimed)))
            database.execute("COMMIT")
            self._claims_changed = False
        except BaseException:
            for place, value in self.counts.items():
                counts[place] += value
            self.counts = counts
            self._models.clear()
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _wait_for_lock(self, error: sqlite3.Error) -> bool:
        """Return whether another process holds the file and there is patience to try again."""
        if _code(error) not in _BUSY:
            return False
        now = time.monotonic()
        self._busy_since = self._busy_since or now
        if now - self._busy_since >= self._lock_patience_s:
            return False
        self._scheduled = asyncio.get_running_loop()
        self._scheduled.call_later(random.uniform(0.002, 0.03), self._commit)
        return True

    # Inside a transaction.

    def _put(
        self,
        key: str,
        identity_json: str,
        request_json: str,
        rows: Iterable[tuple[Any, ...]],
    ) -> None:
        database, now, digest = self._database, time.time(), bytes.fromhex(key)
        model = self._models.get(identity_json) or self._model_id(identity_json)
        added = database.execute(_ADD_REQUEST, (digest, model, request_json))
        request_id = added.lastrowid
        if added.rowcount == 0:
            (request_id,) = database.execute(_FIND_REQUEST, (digest,)).fetchone()
        for row in rows:
            database.execute(_ADD_COMPLETION, (request_id, *row, now))

    def _model_id(self, identity_json: str) -> int:
        add = "INSERT OR IGNORE INTO models (identity) VALUES (?)"
        self._database.execute(add, (identity_json,))
        find = "SELECT id FROM models WHERE identity = ?"
        (found,) = self._database.execute(find, (identity_json,)).fetchone()
        self._models[identity_json] = found
        return int(found)

    def _claim(self, key: str, indices: Sequence[int]) -> dict[int, Completion] | None:
        there = self.get(key, indices[0], indices[-1] - indices[0] + 1)
        found = {index: there[index] for index in indices if index in there}
        if len(found) == len(indices) or self.path is None:
            return found
        if self._lock is None:
            try:
                self._lock = _lock(self._lock_file(self._owner))
            except OSError as error:
                self._refuse(error)
        sign = _sign(key)
        query = "SELECT owner, signs FROM claims WHERE owner <> ?"
        for owner, signs in self._database.execute(query, (self._owner,)).fetchall():
            if sign in signs:
                if self._alive(owner):
                    return None
                self._forget(owner)
        self._claimed[sign] = self._claimed.get(sign, 0) + 1
        self._claims_changed = True
        return found

    def _unclaim(self, key: str) -> None:
        sign = _sign(key)
        if callers := self._claimed.pop(sign, 1) - 1:
            self._claimed[sign] = callers
        self._claims_changed = True

    def _reserve(
        self,
        role: str,
        tokens: int,
        money: float,
        allow: Callable[[Counts, Reserved, int, float], bool],
    ) -> int | None:
        database = self._database
        query = "SELECT DISTINCT owner FROM reservations WHERE run = ? AND owner <> ?"
        for (owner,) in database.execute(query, (self.run, self._owner)).fetchall():
            if not self._alive(owner):
                self._forget(owner)
        query = (
            "SELECT count(*), coalesce(sum(tokens), 0), coalesce(sum(money), 0.0),"
            " coalesce(max(tokens), 0), coalesce(max(money), 0.0) FROM reservations WHERE run = ?"
        )
        reserved = Reserved(*database.execute(query, (self.run,)).fetchone())
        if not allow(self.read_counts(), reserved, tokens, money):
            return None
        add = "INSERT INTO reservations (run, role, owner, tokens, money) VALUES (?, ?, ?, ?, ?)"
        return database.execute(add, (self.run, role, self._owner, tokens, money)).lastrowid

    def _forget(self, owner: int) -> None:
        """End the claims of a process; what it had under way counts as spent."""
        database = self._database
        database.execute("DELETE FROM claims WHERE owner = ?", (owner,))
        query = "SELECT run, role, tokens, money FROM reservations WHERE owner = ?"
        for run, role, tokens, money in database.execute(query, (owner,)).fetchall():
            lost = [(run, role, "lost_tokens", tokens), (run, role, "money", money)]
            database.executemany(_ADD_COUNT, lost)
        database.execute("DELETE FROM reservations WHERE owner = ?", (owner,))

    def _lock_file(self, owner: int) -> Path:
        assert self.path is not None
        return self.path.with_name(f"{self.path.name}.{owner:x}.lock")

    def _alive(self, owner: int) -> bool:
        """Return whether the process of an owner still runs: it holds the lock on its file."""
        try:
            file = os.open(self._lock_file(owner), os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        self._lock_file(owner).unlink(missing_ok=True)
        return False

    def _select(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> NoReturn:
        raise StoreError(_explain(self.path, error)) from error


def _sign(key: str) -> bytes:
    """Return eight bytes of a key: two that share them would only wait for one another."""
    return bytes.fromhex(key[:16])


def _completion(row: Sequence[Any], key: str) -> Completion:
    text, sample, reasoning, reason, prompt_tokens, reply_tokens, cached, logprob = row
    tokens = prompt_tokens, reply_tokens, cached
    return Completion(text, sample, reasoning, reason, *tokens, logprob, key)


def _storable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _values(c: Completion) -> tuple[Any, ...]:
    counts = c.prompt_tokens, c.completion_tokens, c.cached_prompt_tokens
    texts = _storable(c.text), c.sample_index, _storable(c.reasoning), c.finish_reason
    return (*texts, *counts, c.logprob)


def _lock(path: Path) -> int:
    """Make a file and hold its lock for as long as this process lives."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _connect(path: Path | None, durable: str) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path or ":memory:", timeout=30.0, isolation_level=None)
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in (0, FORMAT):
        database.close()
        raise StoreError(
            f"completion log {path}: written in format {version}; this version reads {FORMAT}"
        )
    _write_ahead(database)
    database.execute(f"PRAGMA synchronous={'FULL' if durable == 'full' else 'NORMAL'}")
    database.execute("PRAGMA wal_autocheckpoint=4000")
    if version == 0:
        database.execute("BEGIN IMMEDIATE")
        # Another process may have made the tables while this one waited for the lock.
        if database.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in _SCHEMA.split(";")[:-1]:
                database.execute(statement)
            database.execute(f"PRAGMA user_version={FORMAT}")
        database.execute("COMMIT")
    # From here on a lock held by another process must not stop the event loop: `_wait_for_lock`.
    database.execute("PRAGMA busy_timeout=0")
    return database


def _write_ahead(database: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. Where two processes do so to a new file, SQLite refuses one at
    once, whatever its time-out, since both hold what the other waits for: it has to try again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.002, 0.03))


def _connect_to_read(path: Path | None) -> sqlite3.Connection:
    if path is None or not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    address = path.absolute().as_uri()
    database = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=30.0, isolation_level=None)
    try:
        database.execute("SELECT count(*) FROM models").fetchone()
    except sqlite3.OperationalError:
        # A write-ahead log needs a writable folder even for reading; the file alone is readable.
        database.close()
        database = sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
    return database


def _code(error: Exception) -> int:
    """Return SQLite's primary result code; 0 for an error that SQLite itself did not raise."""
    return int(vars(error).get("sqlite_errorcode", 0)) & 0xFF


def _explain(path: Path | None, error: Exception) -> str:
    saved = f"what was committed before is safe: `cotdistill cache export {path}` reads it"
    busy = f"another process keeps it locked; end that one and run again; {saved}"
    advice = {
        sqlite3.SQLITE_FULL: f"the disk is full; free some space and run again; {saved}",
        sqlite3.SQLITE_IOERR: f"the disk refused to read or write; check its space; {saved}",
        sqlite3.SQLITE_READONLY: "the file or its folder is read-only; make it writable or choose"
        f" another run folder; {saved}",
        sqlite3.SQLITE_CANTOPEN: "check that the folder exists and is writable",
        sqlite3.SQLITE_BUSY: busy,
        sqlite3.SQLITE_LOCKED: busy,
        sqlite3.SQLITE_NOTADB: "it is no completion log; move it away, or name another file",
        sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a copy, or move it away",
    }.get(_code(error), "check the path")
    return f"completion log {path}: {error}; {advice}"

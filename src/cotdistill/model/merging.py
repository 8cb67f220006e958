"""Join the completion logs of shards into the log of their run: nothing lost, nothing twice.

Completions are the same where their key and sample are; the first one stays. The sums of a log are
added once: a note in the run's log says how much of each it has already, so that a merge may be
repeated, interrupted, or follow a shard that went on. Each log is joined in one transaction.
"""

import json
import secrets
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from cotdistill.errors import StoreError
from cotdistill.model.completion_log import CompletionLog, Counts

_MERGED = "merged/"

_JOIN = """
INSERT OR IGNORE INTO models (identity) SELECT identity FROM shard.models ORDER BY id;
INSERT OR IGNORE INTO requests (key, model, request)
    SELECT r.key, own.id, r.request FROM shard.requests r
    JOIN shard.models m ON m.id = r.model JOIN main.models own ON own.identity = m.identity
    ORDER BY r.id;
INSERT OR IGNORE INTO completions
    SELECT own.id, sample, text, reasoning, finish_reason, prompt_tokens, completion_tokens,
        cached_prompt_tokens, logprob, arrived
    FROM shard.completions c JOIN shard.requests r ON r.id = c.request
    JOIN main.requests own ON own.key = r.key;
INSERT OR IGNORE INTO notes SELECT name, value FROM shard.notes WHERE name <> 'id'
"""
_DIFFERENT = """
SELECT count(*) FROM shard.completions c JOIN shard.requests r ON r.id = c.request
    JOIN main.requests own ON own.key = r.key
    JOIN main.completions kept ON kept.request = own.id AND kept.sample = c.sample
    WHERE kept.text <> c.text
"""
_ADD = (
    "INSERT INTO counts VALUES (?, ?, ?, ?)"
    " ON CONFLICT (run, role, name) DO UPDATE SET value = value + excluded.value"
)


def merge_log(source: Path, into: Path) -> int:
    """Add a log's completions, notes and sums to another log, which is made where it is not there.

    Returns how many completions both had with different texts: two shards asked the same.

    Raises:
        StoreError: one of them cannot be read or written; nothing of this log was added.
    """
    CompletionLog(source).close()  # checks the format of both, and makes what is not there
    CompletionLog(into).close()
    try:
        with closing(sqlite3.connect(into, timeout=60.0, isolation_level=None)) as database:
            database.execute("ATTACH ? AS shard", (str(source),))
            database.execute("BEGIN IMMEDIATE")
            if not _add_counts(database):
                return 0
            for statement in _JOIN.split(";"):
                database.execute(statement)
            (different,) = database.execute(_DIFFERENT).fetchone()
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"{source}: cannot be merged into {into}: {error}") from error
    return int(different)


def _add_counts(database: sqlite3.Connection) -> bool:
    """Add what the shard's sums have grown by since they were added last; return whether they have.

    A completion is kept in the transaction that counts it: equal sums mean nothing new.
    """
    new = ("id", json.dumps(secrets.token_hex(8)))
    database.execute("INSERT OR IGNORE INTO shard.notes VALUES (?, ?)", new)
    query = "SELECT value FROM shard.notes WHERE name = 'id'"
    note = _MERGED + json.loads(database.execute(query).fetchone()[0])
    rows = database.execute("SELECT run, role, name, value FROM shard.counts").fetchall()
    found = database.execute("SELECT value FROM notes WHERE name = ?", (note,)).fetchone()
    if found and json.loads(found[0]) == [list(row) for row in rows]:
        return False
    added = {tuple(place): value for *place, value in json.loads(found[0])} if found else {}
    grown = [(*place, value - added.get(tuple(place), 0.0)) for *place, value in rows]
    database.executemany(_ADD, grown)
    database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (note, json.dumps(rows)))
    return True


def own_counts(path: Path, run: str) -> Counts:
    """Return a run's sums in its log without those that came from shards."""
    if not path.exists():
        return defaultdict(float)
    with CompletionLog(path, run=run, read_only=True) as log:
        counts = log.read_counts()
        for rows in log.notes(_MERGED).values():
            for owner, role, name, value in rows:
                counts[role, name] -= value if owner == run else 0.0
    return counts

"""The OpenAI Batch API behind the same `complete`: file up, batch, poll, file down; what failed goes into the next batch.

Requests are gathered until none was added for `gather_s` seconds or `size` are there. A batch under way is noted in the
completion log before it can cost anything, so a run that was killed finds it again and asks for nothing twice:

    upload/<file id>   {"base_url": ..., "ids": [...], "at": ...}    the file is up, its batch may or may not exist
    batch/<batch id>   the same                                      the batch exists; what is not logged is fetched from it

Source: https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cotdistill.errors import FatalTeacherError, QuestionFailed, TeacherError
from cotdistill.model.completion_log import CompletionLog
from cotdistill.teachers._endpoint import Endpoint
from cotdistill.teachers._replies import BadReply, parse_json

__all__ = ["Batches"]

_log = logging.getLogger("cotdistill.teachers")
_Read = TypeVar("_Read")

FORGET_AFTER_S = 30 * 86400.0
"""Endpoints delete batches and their files after about this time."""


@dataclass(slots=True)
class _Item:
    id: str
    body: dict[str, Any]
    replied: asyncio.Future[bytes | str]
    """The reply's body, or as a text why there is none yet."""


@dataclass(slots=True)
class _Batch:
    id: str
    ids: frozenset[str]
    waiting: dict[str, _Item] = field(default_factory=dict)
    watcher: asyncio.Task[None] | None = None
    early: dict[str, bytes] = field(default_factory=dict)
    """Replies that came before they were asked for: this batch was sent by an earlier process."""
    finished: bool = False


class Batches:
    """Sends requests of one endpoint in batches."""

    def __init__(
        self,
        endpoint: Endpoint,
        path: str,
        *,
        size: int,
        gather_s: float,
        poll_s: float,
        retries: int,
    ) -> None:
        self.log: CompletionLog | None = None
        self.before_send: Callable[[], None] = lambda: None
        self._endpoint, self._path = endpoint, path
        self._size, self._gather_s, self._poll_s, self._retries = size, gather_s, poll_s, retries
        self._queue: list[_Item] = []
        self._batches: dict[str, _Batch] | None = None
        self._resuming = asyncio.Lock()
        self._sender: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, body: bytes, first_sample: int, read: Callable[[bytes], _Read]) -> _Read:
        """What `read` makes of the reply to one request; it may take a day.

        Raises:
            QuestionFailed, FatalTeacherError, BudgetSpent: as for a request sent alone.
        """
        id = hashlib.sha256(f"{self._path} {first_sample} ".encode() + body).hexdigest()[:40]
        failure = ""
        for _ in range(self._retries + 1):
            self.before_send()
            reply = await self._replied(
                _Item(id, json.loads(body), asyncio.get_running_loop().create_future())
            )
            if isinstance(reply, str):
                failure = reply
            else:
                try:
                    return read(reply)
                except BadReply as error:
                    failure = f"malformed reply: {error}"
            self._endpoint.count(f"retried: {failure.partition(':')[0]}")
        message = f"{self._endpoint.base_url}: {failure} ({self._retries + 1} batches)"
        raise QuestionFailed(message, failure.partition(":")[0], transient=True)

    async def _replied(self, item: _Item) -> bytes | str:
        async with self._resuming:
            if self._batches is None:
                self._batches = {batch.id: batch async for batch in self._noted()}
        for batch in self._batches.values():
            if item.id in batch.early:
                return batch.early.pop(item.id)
            if item.id in batch.ids and not batch.finished:
                batch.waiting[item.id] = item
                self._watch(batch)
                return await item.replied
        self._queue.append(item)
        if self._sender is not None:
            self._sender.cancel()
        self._sender = asyncio.create_task(self._send_soon())
        return await item.replied

    async def _send_soon(self) -> None:
        if len(self._queue) < self._size:
            await asyncio.sleep(self._gather_s)
        items, self._queue = self._queue[: self._size], self._queue[self._size :]
        task = asyncio.create_task(self._send(items))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._sender = asyncio.create_task(self._send_soon()) if self._queue else None

    async def _send(self, items: list[_Item]) -> None:
        try:
            url = "/v1" + self._path
            lines = (
                json.dumps({"custom_id": item.id, "method": "POST", "url": url, "body": item.body})
                for item in items
            )
            file_id = str((await self._call("POST", "/files", upload=lines))["id"])
            ids = [item.id for item in items]
            note = {"base_url": self._endpoint.base_url, "ids": ids, "at": time.time()}
            self._note(f"upload/{file_id}", note)
            created = {"input_file_id": file_id, "endpoint": url, "completion_window": "24h"}
            batch = _Batch(
                str((await self._call("POST", "/batches", created))["id"]), frozenset(ids)
            )
            self._note(f"batch/{batch.id}", note)
            self._note(f"upload/{file_id}", None)
        except TeacherError as error:
            for item in items:
                if not item.replied.done():
                    item.replied.set_exception(error)
            return
        _log.warning(
            "%s: batch %s with %d requests is under way",
            self._endpoint.base_url,
            batch.id,
            len(items),
        )
        batch.waiting = {item.id: item for item in items}
        assert self._batches is not None
        self._batches[batch.id] = batch
        self._watch(batch)

    def _watch(self, batch: _Batch) -> None:
        if batch.watcher is None:
            batch.watcher = asyncio.create_task(self._fetch(batch))

    async def _fetch(self, batch: _Batch) -> None:
        """Wait for a batch to end and hand out what it answered; what it did not answer goes into another one."""
        try:
            while (state := await self._call("GET", f"/batches/{batch.id}"))[
                "status"
            ] not in _ENDED:
                await asyncio.sleep(self._poll_s * random.uniform(0.8, 1.2))
            if state["status"] == "failed" and not state.get("output_file_id"):
                raise FatalTeacherError(
                    f"{self._endpoint.base_url}: batch {batch.id} failed: {_errors(state)}"
                )
            for name in ("output_file_id", "error_file_id"):
                if state.get(name):
                    reply = await self._endpoint.request("GET", f"/files/{state[name]}/content")
                    for line in reply.splitlines():
                        self._hand_out(batch, line)
        except TeacherError as error:
            for item in batch.waiting.values():
                if not item.replied.done():
                    item.replied.set_exception(error)
            return
        batch.finished = True
        for item in batch.waiting.values():
            if not item.replied.done():
                item.replied.set_result(f"batch {state['status']}: no reply in it")

    def _hand_out(self, batch: _Batch, line: bytes) -> None:
        try:
            row = parse_json(line)
        except BadReply:
            return  # the request stays unanswered and goes into the next batch
        id, response = str(row.get("custom_id")), row.get("response") or {}
        status, body = response.get("status_code"), json.dumps(response.get("body")).encode()
        item = batch.waiting.get(id)
        if item is None:
            if status == 200:
                batch.early[id] = body
            return
        if item.replied.done():
            return
        if status == 200:
            item.replied.set_result(body)
            return
        try:
            item.replied.set_result(self._endpoint.judge_message(int(status or 500), body))
        except TeacherError as error:
            item.replied.set_exception(error)

    async def _noted(self) -> Any:
        """The batches an earlier process left under way at this endpoint."""
        if self.log is None:
            return
        now = time.time()
        uploads = dict(self._current(self.log.notes("upload/"), now))
        for name, note in self._current(self.log.notes("batch/"), now):
            yield _Batch(name.removeprefix("batch/"), frozenset(note["ids"]))
        if uploads:
            listed = await self._call("GET", "/batches?limit=100")
            for state in listed.get("data", []):
                name = f"upload/{state.get('input_file_id')}"
                if name in uploads:
                    self._note(f"batch/{state['id']}", uploads[name])
                    yield _Batch(state["id"], frozenset(uploads[name]["ids"]))
            for name in uploads:
                self._note(name, None)

    def _current(self, notes: dict[str, Any], now: float) -> Iterator[tuple[str, Any]]:
        for name, note in notes.items():
            if now - note["at"] > FORGET_AFTER_S:
                self._note(name, None)
            elif note["base_url"] == self._endpoint.base_url:
                yield name, note

    def _note(self, name: str, value: Any) -> None:
        if self.log is not None:
            self.log.note(name, value)

    async def _call(
        self, method: str, path: str, body: Any = None, *, upload: Iterable[str] | None = None
    ) -> dict[str, Any]:
        reply = await self._endpoint.request(
            method, path, body, upload="\n".join(upload) if upload else None
        )
        try:
            return parse_json(reply)
        except BadReply as error:
            raise FatalTeacherError(f"{self._endpoint.base_url}{path}: {error}") from error

    async def close(self) -> None:
        """Stop waiting. Batches stay noted for as long as the endpoint keeps them: what was not logged can be had again."""
        watchers = [
            batch.watcher for batch in (self._batches or {}).values() if batch.watcher is not None
        ]
        tasks = [*self._tasks, *watchers, *([self._sender] if self._sender else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_ENDED = ("completed", "failed", "expired", "cancelled")


def _errors(state: dict[str, Any]) -> str:
    errors = state.get("errors")
    listed = errors.get("data", []) if isinstance(errors, dict) else []
    return (
        "; ".join(str(error.get("message")) for error in listed[:3])
        or "the endpoint gives no reason"
    )

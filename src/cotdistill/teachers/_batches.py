"""The OpenAI Batch API behind the same `complete`: file up, batch, poll, file down.

Requests are gathered until none was added for `batch_gather_s` seconds or `batch_size` are there;
what failed goes into the next batch. A batch under way is noted beside the completion log before it
can cost anything, so a run that was killed finds it again and asks for nothing twice:

    upload/<file id>   {"base_url", "ids", "at"}    the file is up, its batch may or may not exist
    batch/<batch id>   the same                     what is not logged is fetched from this batch

Source: https://platform.openai.com/docs/guides/batch
"""

import asyncio
import hashlib
import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cotdistill.contracts import Usage
from cotdistill.errors import FatalTeacherError
from cotdistill.teachers._endpoint import Endpoint, Failure, HttpReply
from cotdistill.teachers._replies import BadReply, parse_json
from cotdistill.teachers._settings import EndpointSettings
from cotdistill.util.terminal import shortened

_log = logging.getLogger("cotdistill.teachers")
_Read = TypeVar("_Read")

FORGET_AFTER_S = 30 * 86400.0
"""Endpoints delete batches and their files after about this time."""
_ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass(slots=True)
class _Item:
    id: str
    body: dict[str, Any]
    replied: asyncio.Future[HttpReply | Failure]


@dataclass(slots=True)
class _Batch:
    id: str
    ids: frozenset[str]
    waiting: dict[str, _Item] = field(default_factory=dict)
    watcher: asyncio.Task[None] | None = None
    early: dict[str, HttpReply] = field(default_factory=dict)
    """Replies that nobody has asked for yet: this batch was sent by an earlier process."""
    finished: bool = False


class Batches:
    """Sends requests of one endpoint in batches."""

    def __init__(self, endpoint: Endpoint, settings: EndpointSettings, path: str) -> None:
        self._endpoint, self._settings, self._path = endpoint, settings, path
        self._queue: list[_Item] = []
        self._batches: dict[str, _Batch] | None = None
        self._resuming = asyncio.Lock()
        self._sender: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(
        self,
        body: bytes,
        first_sample: int,
        most: Usage,
        read: Callable[[dict[str, Any], Usage], _Read],
    ) -> _Read:
        """Return what `read` makes of the reply to one request; it may take a day.

        Raises:
            QuestionFailed, FatalTeacherError, BudgetSpent: as for a request sent alone.
        """
        name = f"{self._path} {first_sample} ".encode()
        id = hashlib.sha256(name + body).hexdigest()[:40]
        tries = self._settings.retries + 1
        failure = Failure("no reply", "no reply")
        for _ in range(tries):
            reservation = await self._endpoint.meter.reserve(most)
            item = _Item(id, json.loads(body), asyncio.get_running_loop().create_future())
            reply = await self._replied(item)
            costs: list[Usage | None] = []
            try:
                outcome = (
                    reply
                    if isinstance(reply, Failure)
                    else self._endpoint.read_reply(reply, body, read, costs.append)
                )
            finally:
                self._endpoint.meter.settle(reservation, costs[0] if costs else None)
            if not isinstance(outcome, Failure):
                return outcome
            failure = outcome
            self._endpoint.meter.count(f"retried: {failure.kind}")
        raise self._endpoint.failed(failure, f"{tries} batches", body)

    async def _replied(self, item: _Item) -> HttpReply | Failure:
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
        if len(self._queue) < self._settings.batch_size:
            await asyncio.sleep(self._settings.batch_gather_s)
        size = self._settings.batch_size
        items, self._queue = self._queue[:size], self._queue[size:]
        task = asyncio.create_task(self._send(items))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._sender = asyncio.create_task(self._send_soon()) if self._queue else None

    async def _send(self, items: list[_Item]) -> None:
        with _Failing(items):
            url = "/v1" + self._path
            lines = (
                json.dumps({"custom_id": item.id, "method": "POST", "url": url, "body": item.body})
                for item in items
            )
            file_id = _id_of(await self._call("POST", "/files", upload=lines))
            ids = [item.id for item in items]
            note = {"base_url": self._endpoint.base_url, "ids": ids, "at": time.time()}
            self._note(f"upload/{file_id}", note)
            created = {"input_file_id": file_id, "endpoint": url, "completion_window": "24h"}
            batch = _Batch(_id_of(await self._call("POST", "/batches", created)), frozenset(ids))
            self._note(f"batch/{batch.id}", note)
            self._note(f"upload/{file_id}", None)
            line = "%s: batch %s with %d requests is under way"
            _log.warning(line, self._endpoint.base_url, shortened(batch.id, 80), len(items))
            batch.waiting = {item.id: item for item in items}
            assert self._batches is not None
            self._batches[batch.id] = batch
            self._watch(batch)

    def _watch(self, batch: _Batch) -> None:
        if batch.watcher is None:
            batch.watcher = asyncio.create_task(self._fetch(batch))

    async def _fetch(self, batch: _Batch) -> None:
        """Wait for a batch to end and hand out its replies; what has none goes into another one."""
        with _Failing(batch.waiting.values()):
            poll_s = self._settings.batch_poll_s
            while (state := await self._call("GET", f"/batches/{batch.id}")).get(
                "status"
            ) not in _ENDED:
                if not isinstance(state.get("status"), str):
                    raise self._no_batch(state)
                await asyncio.sleep(poll_s * random.uniform(0.8, 1.2))
            if state["status"] == "failed" and not state.get("output_file_id"):
                words = shortened(json.dumps(state.get("errors"), ensure_ascii=False))
                raise FatalTeacherError(
                    f"{self._endpoint.base_url}: batch {shortened(batch.id, 80)} failed: {words}"
                )
            for name in ("output_file_id", "error_file_id"):
                if file_id := state.get(name):
                    reply = await self._endpoint.request("GET", f"/files/{file_id}/content")
                    rows = [row for line in reply.splitlines() if (row := _row(line)) is not None]
                    # Answers first: a refusal is judged by whether others were answered.
                    for row in sorted(rows, key=lambda row: row[1].status != 200):
                        self._hand_out(batch, *row)
            batch.finished = True
            failure = Failure("no reply", f"batch {state['status']}: it holds no reply to this")
            for item in batch.waiting.values():
                if not item.replied.done():
                    item.replied.set_result(failure)

    def _hand_out(self, batch: _Batch, id: str, reply: HttpReply) -> None:
        """Give one row of a result to who waits for it."""
        item = batch.waiting.get(id)
        if reply.status == 200:
            self._endpoint.answered()
        if item is not None:
            if not item.replied.done():
                item.replied.set_result(reply)
        elif reply.status == 200:
            batch.early[id] = reply

    async def _noted(self) -> Any:
        """The batches an earlier process left under way at this endpoint."""
        now, notes = time.time(), self._endpoint.meter.notes
        uploads = dict(self._current(notes("upload/"), now))
        for name, note in self._current(notes("batch/"), now):
            yield _Batch(name.removeprefix("batch/"), frozenset(note["ids"]))
        if uploads:
            listed = (await self._call("GET", "/batches?limit=100")).get("data")
            for state in listed if isinstance(listed, list) else []:
                name = f"upload/{state.get('input_file_id')}" if isinstance(state, dict) else ""
                if name in uploads:
                    id = _id_of(state)
                    self._note(f"batch/{id}", uploads[name])
                    yield _Batch(id, frozenset(uploads[name]["ids"]))
            for name in uploads:
                self._note(name, None)

    def _current(self, notes: dict[str, Any], now: float) -> Iterator[tuple[str, Any]]:
        for name, note in notes.items():
            if now - note["at"] > FORGET_AFTER_S:
                self._note(name, None)
            elif note["base_url"] == self._endpoint.base_url:
                yield name, note

    def _note(self, name: str, value: Any) -> None:
        self._endpoint.meter.note(name, value)

    async def _call(
        self, method: str, path: str, body: Any = None, *, upload: Iterable[str] | None = None
    ) -> dict[str, Any]:
        text = "\n".join(upload) if upload else None
        reply = await self._endpoint.request(method, path, body, upload=text)
        try:
            return parse_json(reply)
        except BadReply as error:
            raise FatalTeacherError(f"{self._endpoint.base_url}{path}: {error}") from error

    def _no_batch(self, state: dict[str, Any]) -> FatalTeacherError:
        words = shortened(json.dumps(state, ensure_ascii=False))
        return FatalTeacherError(f"{self._endpoint.base_url}: this is no batch: {words}")

    async def close(self) -> None:
        """Stop waiting. Batches stay noted as long as the endpoint keeps them."""
        batches = (self._batches or {}).values()
        watchers = [batch.watcher for batch in batches if batch.watcher is not None]
        tasks = [*self._tasks, *watchers, *([self._sender] if self._sender else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Failing:
    """Whatever goes wrong in the block reaches all who wait for its items: none waits for ever."""

    def __init__(self, items: Iterable[_Item]) -> None:
        self._items = items

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        for item in self._items:
            if not item.replied.done():
                item.replied.set_exception(error)
        return True


def _row(line: bytes) -> tuple[str, HttpReply] | None:
    """Id and reply of one row of a result; None where it is none."""
    try:
        row = parse_json(line)
    except BadReply:
        return None
    response = row.get("response")
    if not isinstance(response, dict):
        response = {"body": {"error": row.get("error") or "a row without a response"}}
    status = response.get("status_code")
    body = json.dumps(response.get("body")).encode()
    reply = HttpReply(status if isinstance(status, int) else 500, {}, body)
    return str(row.get("custom_id")), reply


def _id_of(reply: dict[str, Any]) -> str:
    id = reply.get("id")
    if not isinstance(id, str | int):
        words = shortened(json.dumps(reply, ensure_ascii=False))
        raise FatalTeacherError(f"the reply to a batch call has no id: {words}")
    return str(id)

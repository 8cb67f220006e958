"""Sends one JSON request to an endpoint until it is answered, or until it is certain that it will not be.

Every failure has a class, and each class its own treatment:

- 429 and 529: wait as long as the endpoint asks (else back off with full jitter); never counted as the request's fault
- 500 and other 5xx, time-out, broken connection, reply of a wrong shape: tried again `retries` times, then QuestionFailed
- cannot connect, 502, 503, 504: the endpoint is down; wait for it up to `patience_s`, then FatalTeacherError
- a prompt that is too long or refused by the endpoint's rules: QuestionFailed
- 400, 401, 402, 403, 404 and other 4xx, quota used up: FatalTeacherError with the remedy

The key is held by what sends the requests alone. It is cut out of every message, also where an endpoint repeats it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import aiohttp
from pydantic import SecretStr

from cotdistill.errors import FatalTeacherError, QuestionFailed
from cotdistill.teachers._connections import CONNECT_S, Connections, Reply, Unreachable
from cotdistill.teachers._limits import Pace, Places, backoff, requested_wait
from cotdistill.teachers._replies import BadReply, error_message

__all__ = ["BadRequest", "Endpoint", "Limits"]

_log = logging.getLogger("cotdistill.teachers")
_Read = TypeVar("_Read")


class BadRequest(FatalTeacherError):
    """The endpoint calls the request itself wrong (400, 422)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How an endpoint may be used; times in seconds."""

    max_concurrency: int
    requests_per_minute: float | None
    tokens_per_minute: float | None
    timeout_s: float
    total_timeout_s: float
    patience_s: float
    connect_patience_s: float
    retries: int


@dataclass(slots=True)
class _Failure:
    """One unsuccessful try. `wait_s` is what the endpoint asks for."""

    kind: str
    message: str
    wait_s: float | None = None


_REMEDY = {
    400: "correct the teacher's settings; `omit` leaves out fields that this model refuses",
    401: "check the key in the environment variable named by `key_env`",
    402: "the account has no credit left",
    403: "this key may not use this model; check the account and `model`",
    404: "check `base_url` (it usually ends in /v1), `model` and `api`",
    422: "correct the teacher's settings; `omit` leaves out fields that this model refuses",
}
_TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "too long",
    "string_above_max_length",
)
_REFUSED = ("content_policy_violation", "content_filter", "content management policy")


class Endpoint:
    """One base URL with its connections, its limits and its state of health."""

    def __init__(self, base_url: str, key: SecretStr | None, limits: Limits) -> None:
        self.base_url = base_url.rstrip("/")
        self._key = key
        self._limits = limits
        self.before_send: Callable[[], None] = lambda: None
        self.count: Callable[[str], None] = lambda event: None
        self.places = Places(limits.max_concurrency)
        self.pace = Pace(limits.requests_per_minute, limits.tokens_per_minute)
        self._session: aiohttp.ClientSession | None = None
        self._connections: Connections | None = None
        self._answered = False
        self._down_since: float | None = None
        self._fatal: FatalTeacherError | None = None

    async def post(
        self, path: str, body: bytes, read: Callable[[bytes], _Read], tokens: int = 0
    ) -> _Read:
        """What `read` makes of the reply to a POST of `body`, trying again as the module's docstring says.

        Raises:
            QuestionFailed, FatalTeacherError: see there.
            BudgetSpent: raised by `before_send`.
        """
        began, tries, refusals = time.monotonic(), 0, 0
        while True:
            outcome = await self._try(path, body, read, tokens)
            if not isinstance(outcome, _Failure):
                return outcome
            self.count(f"retried: {outcome.kind}")
            now = time.monotonic()
            if outcome.kind == "unreachable":
                wait = self._wait_for_endpoint(outcome, now)
                began += wait
            elif outcome.kind == "rate limit":
                refusals += 1
                wait = self._wait_for_limit(outcome, refusals)
            else:
                tries += 1
                wait = backoff(tries) if outcome.wait_s is None else outcome.wait_s
                if tries > self._limits.retries:
                    message = f"{self.base_url}: {outcome.message} ({tries} tries)"
                    raise QuestionFailed(message, outcome.kind, transient=True)
            if now + wait - began > self._limits.total_timeout_s:
                message = f"{self.base_url}: no reply within total_timeout_s; {outcome.message}"
                raise QuestionFailed(message, outcome.kind, transient=True)
            await asyncio.sleep(wait)

    async def _try(
        self, path: str, body: bytes, read: Callable[[bytes], _Read], tokens: int
    ) -> _Read | _Failure:
        await self.pace.wait(tokens)
        await self.places.take()
        congested = False
        try:
            if self._fatal is not None:
                raise self._fatal
            self.before_send()
            self.count("requests")
            status, headers, reply = await self._send(path, body)
            if status == 200:
                self._is_up()
                return read(reply)
            failure = self._judge(status, _lower(headers), reply)
            congested = failure.kind == "rate limit"
            return failure
        except BadReply as error:
            return _Failure("malformed reply", str(error))
        except aiohttp.ConnectionTimeoutError:
            return _Failure("unreachable", f"no connection within {CONNECT_S:g} s")
        except TimeoutError:
            congested = True
            return _Failure("timeout", f"no reply within {self._limits.timeout_s:g} s")
        except (Unreachable, aiohttp.ClientConnectorError) as error:
            return _Failure("unreachable", self._clean(str(error)))
        except (aiohttp.ClientError, OSError) as error:
            return _Failure("connection broken", self._clean(f"{type(error).__name__}: {error}"))
        finally:
            self.places.give_back(congested=congested)

    async def _send(self, path: str, body: bytes) -> Reply:
        async with asyncio.timeout(self._limits.timeout_s):
            if self._proxy is None:
                if self._connections is None:
                    self._connections = Connections(self.base_url, self._headers())
                return await self._connections.post(path, body)
            session = self._session or self._open()
            async with session.post(
                self.base_url + path, data=body, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await response.read())

    async def request(
        self, method: str, path: str, body: Any = None, *, upload: str | None = None
    ) -> bytes:
        """A side call (files and batches): one reply's body, tried again on anything that may pass."""
        failure = _Failure("", "")
        for tries in range(1, self._limits.retries + 2):
            try:
                session = self._session or self._open()
                data: Any = json.dumps(body).encode() if body is not None else None
                headers = {}
                if upload is not None:
                    form = aiohttp.FormData({"purpose": "batch"})
                    form.add_field(
                        "file", upload, filename="requests.jsonl", content_type="application/jsonl"
                    )
                    data = form()
                    headers["Content-Type"] = data.headers["Content-Type"]
                async with (
                    asyncio.timeout(self._limits.timeout_s),
                    session.request(
                        method, self.base_url + path, data=data, headers=headers
                    ) as response,
                ):
                    reply = await response.read()
                    if response.status == 200:
                        return reply
                    failure = self._judge(response.status, _lower(response.headers), reply)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failure = _Failure(
                    "connection broken", self._clean(f"{type(error).__name__}: {error}")
                )
            self.count(f"retried: {failure.kind}")
            await asyncio.sleep(backoff(tries) if failure.wait_s is None else failure.wait_s)
        raise FatalTeacherError(
            f"{self.base_url}{path}: {failure.message} ({self._limits.retries + 1} tries)"
        )

    def judge_message(self, status: int, reply: bytes) -> str:
        """Class and message of an error that may pass, as "class: message"; raises for one that will not."""
        failure = self._judge(status, {}, reply)
        return f"{failure.kind}: {failure.message}"

    def _judge(self, status: int, headers: Mapping[str, str], reply: bytes) -> _Failure:
        text, code = error_message(reply)
        message = self._clean(f"HTTP {status}: {text}")
        known = f"{text} {code}".lower()
        if code == "insufficient_quota" or status == 402:
            raise self._stop(f"{message}; {_REMEDY[402]}")
        if status in (429, 529):
            return _Failure("rate limit", message, requested_wait(headers))
        if status in (502, 503, 504):
            return _Failure("unreachable", message, requested_wait(headers))
        if status >= 500 or status in (408, 409, 425):
            return _Failure("server error", message, requested_wait(headers))
        if any(sign in known for sign in _TOO_LONG) or status == 413:
            raise QuestionFailed(f"{self.base_url}: {message}", "prompt too long")
        if any(sign in known for sign in _REFUSED):
            raise QuestionFailed(f"{self.base_url}: {message}", "refused by the endpoint")
        remedy = _REMEDY.get(status, "check `base_url` and the teacher's settings")
        if status in (400, 422):
            raise BadRequest(f"{self.base_url}: {message}; {remedy}")
        raise self._stop(f"{message}; {remedy}")

    def _wait_for_limit(self, failure: _Failure, refusals: int) -> float:
        if failure.wait_s is None:
            return backoff(refusals)
        if self.places.congestion > 0.5:
            self.pace.pause(failure.wait_s)
        return failure.wait_s * random.uniform(1.0, 1.1)

    def _wait_for_endpoint(self, failure: _Failure, now: float) -> float:
        """Seconds until the next try at an endpoint that is down; says so once, and gives up after the patience."""
        patience = self._limits.patience_s if self._answered else self._limits.connect_patience_s
        if self._down_since is None:
            self._down_since = now
            _log.warning(
                "%s does not answer (%s); waiting for it up to %.0f s",
                self.base_url,
                failure.message,
                patience,
            )
        if now - self._down_since > patience:
            remedy = (
                "run again when it is back; all that arrived is kept" if self._answered else _START
            )
            raise self._stop(f"not reachable for {patience:g} s ({failure.message}); {remedy}")
        return max(failure.wait_s or 0.0, random.uniform(0.2, 2.0))

    def _is_up(self) -> None:
        self._answered = True
        if self._down_since is not None:
            _log.warning(
                "%s answers again after %.0f s", self.base_url, time.monotonic() - self._down_since
            )
            self._down_since = None

    def _stop(self, message: str) -> FatalTeacherError:
        """The error that ends the run: all requests that wait or come later fail at once with the same one."""
        self._fatal = self._fatal or FatalTeacherError(f"{self.base_url}: {message}")
        return self._fatal

    def _headers(self) -> dict[str, str]:
        headers = {
            "User-Agent": "cotdistill",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return headers

    @cached_property
    def _proxy(self) -> str | None:
        parts = urllib.parse.urlsplit(self.base_url)
        bypass = urllib.request.proxy_bypass(parts.hostname or "")
        return None if bypass else urllib.request.getproxies().get(parts.scheme)

    def _open(self) -> aiohttp.ClientSession:
        """The session for what is no plain POST: side calls, and everything where there is a proxy."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            headers=self._headers(),
            proxy=self._proxy,
        )
        return self._session

    def _clean(self, text: str) -> str:
        secret = self._key.get_secret_value() if self._key is not None else ""
        return text.replace(secret, "***") if secret else text

    async def close(self) -> None:
        if self._connections is not None:
            self._connections.close()
        if self._session is not None:
            await self._session.close()
            self._session = None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


_START = "start the server, or correct `base_url` in the recipe"

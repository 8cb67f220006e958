"""Sends one JSON request to an endpoint until it is answered, or until it is certain that not.

A reply's status, or the code of an `error` in its body, and the outcomes of other requests decide
whether to retry. The endpoint's words refine the reason; they do not decide, except that llama.cpp
answers 500 where its context is too small.

- 429, 529: wait as long as the endpoint asks, but at least as a back-off would and never beyond
  `total_timeout_s`; not counted as the request's fault.
- 500 and other 5xx, time-out, broken connection, reply without a completion, error without a code
  after others were answered: tried again `retries` times, then the question fails for now.
- 502, 503, 504, no connection, or a time-out while nothing at all was answered: the endpoint is
  down. It is waited for up to `patience_s` (`connect_patience_s` where it never answered). Tries
  during which it answered others count as the request's own.
- other 4xx: this request is refused, its question fails.

The run stops (FatalTeacherError) where the fault cannot be the questions': no connection within
the patience; a wrong key, account or path before the first answer; the first `FIRST_FAILURES`
requests all failed; the first `FIRST_UNREADABLE` replies, which may cost money, held no completion;
more than half of the last `WINDOW` failed. A request that failed in an earlier call as well is no
news and counts for neither: what is left of a run is what failed before. Prompts that are too long
or refused for their content count for the first requests only.

The key is held by what sends the requests alone. `Secret` cuts it, and every piece of it of eight
characters, out of everything that comes back before anything else sees it.
"""

import asyncio
import functools
import hashlib
import json
import logging
import random
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import aiohttp

from cotdistill.contracts import Meter, Usage
from cotdistill.errors import FatalTeacherError, QuestionFailed
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Budget, Ledger, RoleMeter
from cotdistill.model.limits import backoff, requested_wait
from cotdistill.teachers._replies import (
    BadReply,
    error_in,
    error_message,
    parse_json,
    read_usage,
    reported_usage,
)
from cotdistill.teachers._settings import EndpointSettings
from cotdistill.util.secret import Secret
from cotdistill.util.terminal import shortened

_log = logging.getLogger("cotdistill.teachers")
_fates = logging.getLogger("cotdistill.requests")
_Read = TypeVar("_Read")

CONNECT_S = 15.0
"""Longest time to connect, in seconds."""
IDLE_S = 15.0
"""Longest time to keep an unused connection, in seconds: routers drop quiet ones silently."""
MOST_BYTES = 16 * 2**20
"""Largest reply that is read, unpacked."""
QUIET_S = 2.0
"""Seconds of errors alone after which an endpoint is said to be down."""
FIRST_FAILURES = 5
FIRST_UNREADABLE = 15
WINDOW = 40


_NO_HEADERS: Mapping[str, str] = {}


class Refused(QuestionFailed):
    """The endpoint refuses this very request (4xx)."""


@dataclass(slots=True)
class Failure:
    """One unsuccessful try. `wait_s` is what the endpoint asks for."""

    kind: str
    message: str
    wait_s: float = 0.0


class HttpReply(NamedTuple):
    """A reply as it came, without the key."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_CHECK_KEY = "check the key in the environment variable named by `key_env`"
_REMEDY = {
    401: _CHECK_KEY,
    402: "the account has no credit left",
    403: "this key may not use this model; check the account and `model`",
    404: "check `base_url` (it usually ends in /v1), `model` and `api`",
    429: "the account has no credit left",
}
_SETTINGS = (
    "correct the teacher's settings (`base_url` usually ends in /v1; `omit` leaves out fields that"
    " this model refuses)"
)
# Words by which a refusal is known to be about this one prompt.
_CONTEXT = ("context_length_exceeded", "context length", "context size", "exceed_context_size")
_TOO_LONG = (
    *(*_CONTEXT, "too long", "string_above_max_length", "max_new_tokens` must be"),
    "too many tokens",
)
_CONTENT = (
    *("content_policy", "content_filter", "content management policy", "content exists risk"),
    *("data_inspection_failed", "moderation", "flagged", "inappropriate content"),
)


class Endpoint:
    """One base URL with its connections, its limits and its state of health."""

    def __init__(self, settings: EndpointSettings) -> None:
        self.base_url = settings.base_url
        self._settings = settings
        self.attach(RoleMeter(Ledger(), CompletionLog(), "teacher", None, Budget()))
        self._key = settings.key()
        self._secret = Secret(self._key)
        self._session: aiohttp.ClientSession | None = None
        self._answered = False
        self._answered_at = self._heard_at = time.monotonic()
        self._down_since: float | None = None
        self._down_said = False
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._unreadable = 0
        self._fatal: FatalTeacherError | None = None
        self._said: set[str] = set()

    def attach(self, meter: Meter) -> None:
        """Book all calls with this meter, and hold to the limits that it keeps."""
        self.meter, limits = meter, self._settings
        self._places, self._rate = meter.limits(
            self.base_url,
            limits.max_concurrency,
            limits.requests_per_minute,
            limits.tokens_per_minute,
        )

    def say_once(self, line: str) -> None:
        """Tell the user something that is true of the endpoint, the first time it shows."""
        if line not in self._said:
            self._said.add(line)
            _log.warning("%s: %s", self.base_url, line)

    async def post(
        self,
        path: str,
        body: bytes,
        most: Usage,
        read: Callable[[dict[str, Any], Usage], _Read],
    ) -> _Read:
        """Return what `read` makes of the reply to a POST, trying again as the module says.

        `most` is what the reply may cost at most; `read` is given the reply and what it cost.

        Raises:
            QuestionFailed, FatalTeacherError: see the module.
            BudgetSpent: the run's budget is used up.
        """
        began, tries, refusals, tried_at = time.monotonic(), 0, 0, 0.0
        limits = self._settings
        while True:
            sent_at = time.monotonic()
            outcome = await self._try(path, body, most, read)
            if not isinstance(outcome, Failure):
                self.answered()
                return outcome
            self.meter.count(f"retried: {outcome.kind}")
            now = time.monotonic()
            wait = max(outcome.wait_s * random.uniform(1.0, 1.1), backoff(tries + refusals + 1))
            if outcome.kind == "rate limit":
                refusals += 1
            elif outcome.kind in ("unreachable", "down"):
                # Others were answered since the last try: the fault is this request's own.
                tries += 0 < tried_at < self._answered_at
                wait = max(outcome.wait_s, random.uniform(0.2, 2.0))
                self._check_health(outcome, now, body)
                began = max(began, sent_at)
            else:
                tries += 1
            tried_at = now
            if outcome.kind == "malformed reply":
                self._check_replies(outcome)
            if tries > limits.retries:
                raise self.failed(outcome, f"{tries} tries", body)
            left = began + limits.total_timeout_s - now
            if wait > left:
                asks = f"asks to wait {outcome.wait_s:,.0f} s; " if outcome.wait_s > left else ""
                why = f"{asks}total_timeout_s is {limits.total_timeout_s:g}"
                raise self.failed(outcome, why, body)
            await asyncio.sleep(wait)

    async def _try(
        self,
        path: str,
        body: bytes,
        most: Usage,
        read: Callable[[dict[str, Any], Usage], _Read],
    ) -> _Read | Failure:
        """One try. What it cost is booked before its reply is read, whatever the reply is."""
        await self._rate.wait(most.prompt_tokens // 2 + most.completion_tokens)
        await self._places.acquire()
        sent_at, reservation, seconds = time.monotonic(), 0, 0.0
        usage: Usage | None = None

        def book(cost: Usage | None) -> None:
            nonlocal usage
            usage = cost

        outcome: _Read | Failure | None = None
        cancelled = False
        try:
            if self._fatal is not None:
                raise self._fatal
            reservation = await self.meter.reserve(most)
            self.meter.count("requests")
            asked_at = time.monotonic()
            reply = await self._exchange("POST", path, body)
            self._heard_at = time.monotonic()
            seconds = self._heard_at - asked_at
            outcome = self.read_reply(reply, body, read, book)
            return outcome
        except asyncio.CancelledError:
            cancelled = True  # it may be answered and charged all the same: it stays reserved
            raise
        except BadReply as error:  # larger than what is read
            usage = replace(most, estimated=True)
            outcome = Failure("malformed reply", str(error))
            return outcome
        except aiohttp.ConnectionTimeoutError:
            outcome = Failure("unreachable", f"no connection within {CONNECT_S:g} s")
            return outcome
        except TimeoutError:
            silent = self._heard_at < sent_at
            message = f"no reply within timeout_s ({self._settings.timeout_s:g} s)"
            outcome = Failure("down" if silent else "timeout", message)
            return outcome
        except aiohttp.ClientConnectorError as error:
            outcome = Failure("unreachable", self._shown(error))
            return outcome
        except (aiohttp.ClientError, OSError) as error:
            outcome = Failure("connection broken", self._shown(error))
            return outcome
        finally:
            if usage is not None and usage.estimated:
                self.say_once("reports no usage; tokens are estimated, four bytes each")
            if not cancelled:
                self.meter.settle(reservation, usage, seconds)
            if usage is not None:
                used = usage.prompt_tokens + usage.completion_tokens
                self._rate.correct(most.prompt_tokens // 2 + most.completion_tokens, used)
            failure = outcome if isinstance(outcome, Failure) else None
            kind = failure.kind if failure else "refused" if outcome is None else "answered"
            self._places.release(
                answered=kind == "answered", congested=kind in ("rate limit", "timeout", "down")
            )
            if _fates.isEnabledFor(logging.INFO):
                self._note_fate(path, sent_at, kind, failure, usage)

    def read_reply(
        self,
        reply: HttpReply,
        request: bytes,
        read: Callable[[dict[str, Any], Usage], _Read],
        book: Callable[[Usage | None], None],
    ) -> _Read | Failure:
        """Return what `read` makes of a reply, or why there is nothing to read.

        `book` is told what the reply cost before it is judged, whatever it is.

        Raises:
            Refused, FatalTeacherError: asking again cannot help.
        """
        status = reply.status
        if 200 <= status < 300:
            try:
                data = parse_json(reply.body)
            except BadReply as error:
                book(read_usage({}, request, reply.body))
                return Failure("malformed reply", str(error))
            if (inner := error_in(data)) is None:
                usage = read_usage(data, request, reply.body)
                book(usage)
                try:
                    return read(data, usage)
                except BadReply as error:
                    return Failure("malformed reply", str(error))
            status = inner
        book(reported_usage(reply.body))
        return self.judge(status, reply.body, reply.headers, request)

    def _note_fate(
        self, path: str, at: float, kind: str, failure: Failure | None, usage: Usage | None
    ) -> None:
        """Log the outcome of one request, as a line of JSON."""
        row: dict[str, Any] = {"time": round(time.time(), 3), "url": self.base_url + path}
        row |= {"seconds": round(time.monotonic() - at, 3), "outcome": kind}
        if failure is not None:
            row["message"] = failure.message
        if usage is not None:
            row |= {"prompt_tokens": usage.prompt_tokens, "reply_tokens": usage.completion_tokens}
        _fates.info(json.dumps(row))

    async def _exchange(
        self, method: str, path: str, body: bytes | None, upload: str | None = None
    ) -> HttpReply:
        """Send one request; return the reply without the key. Redirects are not followed."""
        session = self._session or self._open()
        data: Any = body
        headers = None
        if upload is not None:
            data = aiohttp.FormData({"purpose": "batch"})
            kind = "application/jsonl"
            data.add_field("file", upload, filename="requests.jsonl", content_type=kind)
            data = data()
            headers = {"Content-Type": data.headers["Content-Type"]}
        async with session.request(
            method, self._url(path), data=data, headers=headers, allow_redirects=False
        ) as response:
            size = response.content_length
            if (
                size is not None
                and size <= MOST_BYTES
                and "Content-Encoding" not in response.headers
            ):
                reply = await response.read()
            else:
                reply = await _read_capped(response)
        return HttpReply(response.status, response.headers, self._secret.cut(reply))

    async def request(
        self, method: str, path: str, body: Any = None, *, upload: str | None = None
    ) -> bytes:
        """Return the reply of a side call (files and batches), tried again like a request.

        Raises:
            FatalTeacherError: there is none; without it no question can be answered.
        """
        failure = Failure("", "")
        data = json.dumps(body).encode() if body is not None else None
        for tries in range(1, self._settings.retries + 2):
            try:
                reply = await self._exchange(method, path, data, upload)
                if 200 <= reply.status < 300:
                    return reply.body
                failure = self.judge(reply.status, reply.body, reply.headers)
            except BadReply as error:
                failure = Failure("malformed reply", str(error))
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failure = Failure("connection broken", self._shown(error))
            except QuestionFailed as error:
                raise FatalTeacherError(str(error)) from error
            self.meter.count(f"retried: {failure.kind}")
            await asyncio.sleep(max(failure.wait_s, backoff(tries)))
        count = self._settings.retries + 1
        raise FatalTeacherError(f"{self.base_url}{path}: {failure.message} ({count} tries)")

    def judge(
        self,
        status: int,
        reply: bytes,
        headers: Mapping[str, str] = _NO_HEADERS,
        request: bytes = b"",
    ) -> Failure:
        """Return the class of an error reply; raise where asking again cannot help.

        Raises:
            Refused, FatalTeacherError: see the module.
        """
        text, code = error_message(reply)
        message = f"HTTP {status}: {text}" if status else text
        known = f"{text} {code}".lower()
        broke = status == 402 or "insufficient_quota" in known
        if status in (429, 529) and not broke:
            return Failure("rate limit", message, requested_wait(headers))
        if status in (502, 503, 504):
            return Failure("down", message, requested_wait(headers))
        small_context = any(sign in known for sign in _CONTEXT)
        if status in (408, 409, 425) or (status >= 500 and not small_context):
            return Failure("server error", message, requested_wait(headers))
        if not status and self._proven:  # its meaning is not known, and others were answered
            return Failure("error in the reply", message)
        if 300 <= status < 400:
            to = self._secret.cut_text(headers.get("location", ""))
            host = urllib.parse.urlsplit(to).netloc
            message = f"HTTP {status}: redirects to {shortened(host) or 'nowhere'}"
        remedy = _REMEDY[402] if broke else _REMEDY.get(status, _SETTINGS)
        about_account = broke or status in (401, 404) or 300 <= status < 400
        if about_account and not self._proven:
            raise self._stop(f"{message}; {remedy}")
        reason, about_prompt = f"HTTP {status}" if status else "error in the reply", True
        if status == 413 or any(sign in known for sign in _TOO_LONG):
            reason = "prompt too long"
        elif any(sign in known for sign in _CONTENT):
            reason = "refused by the endpoint"
        else:
            about_prompt = False
        if not (about_prompt and self._proven):
            self._note_failure(f"{message}; {remedy}", request)
        if not self._proven:  # then it may be the settings after all
            message = f"{message}; {remedy}"
        raise Refused(f"{self.base_url}: {message}", reason, transient=about_account)

    @property
    def _proven(self) -> bool:
        return self._answered or self.meter.answered_before

    def failed(self, failure: Failure, why: str, request: bytes) -> QuestionFailed:
        """Return the failure of one question for now; stop the run where too many fail."""
        self._note_failure(failure.message, request)
        kind = {"down": "endpoint down", "unreachable": "endpoint down"}.get(failure.kind)
        message = f"{self.base_url}: {failure.message} ({why})"
        return QuestionFailed(message, kind or failure.kind, transient=True)

    def _note_failure(self, message: str, request: bytes) -> None:
        name = f"failed/{hashlib.sha256(request).hexdigest()[:32]}"
        if self.meter.notes(name):  # an earlier call's; this one's come last in the log
            return
        self.meter.note(name, True)
        outcomes = self._outcomes
        outcomes.append(False)
        failures = len(outcomes) - sum(outcomes)
        if not self._proven and failures >= FIRST_FAILURES:
            raise self._stop(f"the first {failures} requests all failed: {message}")
        if failures > WINDOW // 2:
            raise self._stop(f"{failures} of the last {len(outcomes)} requests failed: {message}")

    def _check_replies(self, failure: Failure) -> None:
        """Stop where there was no answer yet and many a reply without a completion."""
        self._unreadable += 1
        if not self._proven and self._unreadable >= FIRST_UNREADABLE:
            first = f"the first {self._unreadable} replies hold no completion"
            raise self._stop(f"{first}: {failure.message}; {_SETTINGS}")

    def answered(self) -> None:
        """Note that a request was answered."""
        self._outcomes.append(True)
        self._answered = True
        self._answered_at = time.monotonic()
        if self._down_since is not None:
            down = self._answered_at - self._down_since
            if self._down_said:
                _log.warning("%s answers again after %.0f s", self.base_url, down)
            self._down_since, self._down_said = None, False

    def _check_health(self, failure: Failure, now: float, request: bytes) -> None:
        """Say once that the endpoint is down, and end what waits for it after the patience."""
        limits = self._settings
        patience = limits.patience_s if self._answered else limits.connect_patience_s
        self._down_since = self._down_since or now
        down = now - self._down_since
        if down > patience:
            message = f"not reachable for {patience:g} s ({failure.message})"
            if failure.kind != "unreachable":  # it is there, and gives this request no answer
                raise self.failed(Failure("down", message), "given up", request)
            remedy = "run again when it is back; all that arrived is kept"
            if not self._answered:
                remedy = "start the server, or correct `base_url` in the recipe"
            raise self._stop(f"{message}; {remedy}")
        if not self._down_said and (down > QUIET_S or not self._answered):
            self._down_said = True
            line = "%s does not answer (%s); waiting for it up to %.0f s"
            _log.warning(line, self.base_url, failure.message, patience)

    def _stop(self, message: str) -> FatalTeacherError:
        """Note and return an error that ends all requests of this endpoint."""
        if self._fatal is None:
            self._fatal = FatalTeacherError(f"{self.base_url}: {message}")
        return self._fatal

    def _shown(self, error: Exception) -> str:
        return shortened(self._secret.cut_text(f"{type(error).__name__}: {error}"))

    @functools.cache  # noqa: B019  an endpoint lives as long as its run and has few paths
    def _url(self, path: str) -> str:
        parts = urllib.parse.urlsplit(self.base_url)
        path, _, query = path.partition("?")
        queries = "&".join(filter(None, (parts.query, query)))
        whole = parts._replace(path=parts.path.rstrip("/") + path, query=queries)
        return urllib.parse.urlunsplit(whole)

    def _open(self) -> aiohttp.ClientSession:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        headers |= {"Content-Type": "application/json", "User-Agent": "cotdistill"}
        if self._key is not None:
            name, value = self._settings.key_header, self._key.get_secret_value()
            headers[name] = f"Bearer {value}" if name.lower() == "authorization" else value
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s, sock_connect=CONNECT_S),
            headers=headers,
            proxy=self._proxy(),
        )
        return self._session

    def _proxy(self) -> str | None:
        parts = urllib.parse.urlsplit(self.base_url)
        bypass = urllib.request.proxy_bypass(parts.hostname or "")
        return None if bypass else urllib.request.getproxies().get(parts.scheme)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole reply, unpacked part by part.

    Raises:
        BadReply: it is larger than any completion.
    """
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MOST_BYTES:
            response.close()
            raise BadReply(f"the reply is larger than {MOST_BYTES // 2**20} MiB")
        parts.append(part)
    return b"".join(parts)

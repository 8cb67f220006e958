"""HTTP/1.1 for one kind of exchange, a POST whose reply is read whole, at half the processor time of a general client.

Left out, because nothing here needs it: redirects, cookies, streaming, HTTP/2, proxies (`_endpoint` takes aiohttp where one is
set). Replies are parsed by llhttp (the package httptools, under uvicorn as well), addresses are tried as RFC 8305 says
(aiohappyeyeballs, under aiohttp as well), TLS is Python's own with its certificates. Measured: docs/decisions/http-client.md.

    Unreachable      no connection came about
    BrokenExchange   the connection ended, or what came was no HTTP, before the reply was whole
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import Mapping
from typing import NamedTuple, cast

import aiohappyeyeballs
import httptools
from yarl import URL

__all__ = ["BrokenExchange", "Connections", "Reply", "Unreachable"]

CONNECT_S = 15.0
"""How long one connection may take to come about, in seconds."""
IDLE_S = 15.0
"""How long a connection is kept unused, in seconds: routers on the way forget quiet ones without a word."""
ADDRESSES_S = 300.0
"""How long the addresses of a host name are believed, in seconds."""


class Unreachable(ConnectionError):
    """No connection came about."""


class BrokenExchange(ConnectionError):
    """The connection ended, or what came was no HTTP, before the reply was whole."""


class Reply(NamedTuple):
    """A whole reply; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """The connections to one origin: as many as requests are under way, kept for the next ones."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        url = URL(base_url)
        assert url.host is not None and url.port is not None
        self._host, self._port, self._path = url.host, url.port, url.raw_path.rstrip("/")
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        lines = {"Host": url.host_port_subcomponent, **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
        assert self._head.count(b"\n") == len(lines), "a header is one line"
        self._idle: list[_Connection] = []
        self._addresses: list[aiohappyeyeballs.AddrInfoType] = []
        self._addresses_until = 0.0
        self._looking_up = asyncio.Lock()

    async def post(self, path: str, body: bytes) -> Reply:
        """Send a POST and read the reply; no time limit but that of connecting.

        Raises:
            Unreachable, BrokenExchange: see the module's docstring.
        """
        connection = self._unused() or await self._connect()
        try:
            line = f"POST {self._path}{path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n".encode()
            reply = await connection.exchange(b"%b%b\r\n%b" % (line, self._head, body))
        except (
            BaseException
        ):  # also a time-out: what may still come would be taken for the next reply
            connection.transport.abort()
            raise
        if connection.reusable:
            connection.idle_since = connection.loop.time()
            self._idle.append(connection)
        else:
            connection.transport.close()
        return reply

    def close(self) -> None:
        """Close all connections that are not in use."""
        while self._idle:
            self._idle.pop().transport.abort()

    def _unused(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.transport.is_closing():
                continue
            if connection.loop.time() - connection.idle_since < IDLE_S:
                return connection
            connection.transport.abort()
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_S):
                connected = await aiohappyeyeballs.start_connection(
                    await self._lookup(), happy_eyeballs_delay=0.25, interleave=1
                )
                return await self._wrap(connected)
        except TimeoutError as error:
            raise Unreachable(f"no connection within {CONNECT_S:g} s") from error
        except (OSError, ValueError) as error:
            self._addresses_until = 0.0
            raise Unreachable(str(error)) from error

    async def _wrap(self, connected: socket.socket) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            name = self._host if self._tls is not None else None
            _, connection = await loop.create_connection(
                lambda: _Connection(loop), sock=connected, ssl=self._tls, server_hostname=name
            )
        except BaseException:
            connected.close()
            raise
        return connection

    async def _lookup(self) -> list[aiohappyeyeballs.AddrInfoType]:
        loop = asyncio.get_running_loop()
        async with self._looking_up:
            if loop.time() > self._addresses_until:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._addresses, self._addresses_until = list(found), loop.time() + ADDRESSES_S
        return self._addresses


class _Connection(asyncio.Protocol):
    """One connection with at most one exchange under way; also what httptools calls while it parses a reply."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.idle_since = 0.0
        self.reusable = False
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Reply] | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._status = 0

    def exchange(self, request: bytes) -> asyncio.Future[Reply]:
        """Send a request; the future is the reply."""
        self._waiting = self.loop.create_future()
        self._status = 0
        self.transport.write(request)
        return self._waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:  # nobody asked: the server says goodbye
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"the reply is no HTTP ({error})")
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._status >= 200 and not self._headers.keys() & {
            "content-length",
            "transfer-encoding",
        }:
            self._finish()  # the end of the connection is the end of such a reply
        self._fail(
            f"the connection was closed before the reply was whole{f' ({error})' if error else ''}"
        )

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self._status >= 200:  # else "100 Continue": the reply is still to come
            self.reusable = self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return
        body = b"".join(self._body)
        self._body = []
        if self._headers.get("content-encoding", "identity").lower() in (
            "gzip",
            "deflate",
        ):  # although none was asked for
            try:
                body = zlib.decompress(body, zlib.MAX_WBITS | 32)
            except zlib.error as error:
                waiting.set_exception(BrokenExchange(f"the reply cannot be unpacked ({error})"))
                return
        waiting.set_result(Reply(self._status, self._headers, body))

    def _fail(self, message: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(BrokenExchange(message))

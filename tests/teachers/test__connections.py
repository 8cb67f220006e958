"""Exchanges with servers of every habit: what is a reply, what is none, and when a connection is used again."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cotdistill.teachers import _connections
from cotdistill.teachers._connections import BrokenExchange, Connections, Reply, Unreachable
from cotdistill.util.concurrency import run_async

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LOOPS = [run_async, asyncio.run]


class Server:
    """Answers each request with the next of `replies` (the last one over and over) and notes down what it was sent."""

    def __init__(self, *replies: bytes, then_close: bool = False, delay: float = 0.0) -> None:
        self.replies, self.then_close, self.delay = list(replies), then_close, delay
        self.requests: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await asyncio.sleep(self.delay)
                writer.write(self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])
                await writer.drain()
                if self.then_close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def talk(
    server: Serve,
    use: Callable[[Connections], Coroutine[Any, Any, Any]],
    *,
    run: Any = run_async,
    **tls: Any,
) -> Any:
    """What `use` returns over connections to a server of this behaviour."""

    async def main() -> Any:
        listening = await asyncio.start_server(server, "127.0.0.1", 0, **tls)
        port = listening.sockets[0].getsockname()[1]
        connections = Connections(
            f"http{'s' if tls else ''}://localhost:{port}/v1", {"User-Agent": "test"}
        )
        try:
            return await use(connections)
        finally:
            connections.close()
            listening.close()
            await asyncio.sleep(0.02)  # the server notices that its connections are closed

    return run(main())


async def once(connections: Connections) -> Reply:
    return await connections.post("/completions", b'{"a": 1}')


async def twice(connections: Connections) -> list[Reply]:
    return [await once(connections), await once(connections)]


@pytest.mark.parametrize("run", LOOPS)
def test_a_request_is_sent_whole_and_its_connection_used_again(run: Any) -> None:
    server = Server(OK)
    assert talk(server, twice, run=run) == [Reply(200, {"content-length": "2"}, b"{}")] * 2
    assert server.connections == 1
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    assert line == "POST /v1/completions HTTP/1.1"
    names = dict(header.split(": ") for header in headers)
    assert names.pop("Host").startswith("localhost:")
    assert names == {"Content-Length": "8", "User-Agent": "test"}
    assert body == b'{"a": 1}'


@pytest.mark.parametrize(
    ("reply", "then_close", "status", "body"),
    [
        (
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n',
            False,
            200,
            b'{"a": 1}',
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            False,
            200,
            b"{}",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", True, 200, b"{}"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", True, 200, b"{}"),
        (b"HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", False, 429, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b""),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 22\r\n\r\n"
            + gzip.compress(b"{}", mtime=0),
            False,
            200,
            b"{}",
        ),
    ],
    ids=["chunks", "continue", "http 1.0", "until the end", "error", "no body", "gzip"],
)
@pytest.mark.parametrize("run", LOOPS)
def test_every_kind_of_whole_reply(
    reply: bytes, then_close: bool, status: int, body: bytes, run: Any
) -> None:
    first, second = talk(Server(reply, then_close=then_close), twice, run=run)
    assert (first.status, first.body) == (second.status, second.body) == (status, body)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"", "closed before the reply was whole"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "closed before the reply was whole"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
            "closed before the reply was whole",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed before the reply was whole"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the reply is no HTTP"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            "the reply is no HTTP",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            "cannot be unpacked",
        ),
    ],
    ids=["nothing", "short", "short chunk", "continue only", "not http", "upgrade", "not gzip"],
)
@pytest.mark.parametrize("run", LOOPS)
def test_every_kind_of_broken_reply(reply: bytes, message: str, run: Any) -> None:
    with pytest.raises(BrokenExchange, match=message):
        talk(Server(reply, then_close=True), once, run=run)


def test_a_reply_in_pieces_is_put_together() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        for byte in OK:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    assert talk(serve, once).body == b"{}"


def test_a_connection_that_says_goodbye_is_not_used_again() -> None:
    server = Server(OK.replace(b"\r\nContent", b"\r\nConnection: close\r\nContent"))
    talk(server, twice)
    assert server.connections == 2


@pytest.mark.parametrize(
    "goodbye", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"]
)
def test_a_connection_the_server_gave_up_is_not_used_again(goodbye: bytes) -> None:
    connected = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(True)
        await reader.readuntil(b"}")
        writer.write(OK)
        if len(connected) == 1:
            await asyncio.sleep(0.02)
            writer.write(goodbye)
        writer.close()

    async def use(connections: Connections) -> None:
        assert (await once(connections)).status == 200
        await asyncio.sleep(0.1)
        assert (await once(connections)).status == 200

    talk(serve, use)
    assert len(connected) == 2


def test_a_connection_that_was_quiet_for_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_connections, "IDLE_S", 0.0)
    server = Server(OK)
    talk(server, twice)
    assert server.connections == 2


def test_a_reply_given_up_is_never_taken_for_the_next() -> None:
    server = Server(OK.replace(b"{}", b"[]"), OK, delay=0.1)

    async def use(connections: Connections) -> Reply:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await once(connections)
        return await once(connections)

    assert talk(server, use).body == b"{}"
    assert server.connections == 2


def test_many_at_once_have_a_connection_each_and_look_the_name_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(OK, delay=0.05)
    looked_up = []
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: looked_up.append(a) or real(*a, **k))

    async def use(connections: Connections) -> None:
        await asyncio.gather(*(once(connections) for _ in range(20)))
        await asyncio.gather(*(once(connections) for _ in range(20)))

    talk(server, use, run=asyncio.run)
    assert server.connections == 20
    assert len([host for host, *_ in looked_up if host == "localhost"]) == 1


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize(
    "address",
    ["http://localhost:{port}/v1", "https://localhost:{port}/v1", "http://no.such.invalid/v1"],
)
def test_nobody_there(address: str, run: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        connections = Connections(address.format(port=taken.getsockname()[1]), {})
        with pytest.raises(Unreachable):
            run(once(connections))


def test_a_connection_that_does_not_come_about_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connections, "CONNECT_S", 0.1)
    with socket.socket() as silent:  # accepts, and never says a word of TLS
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        connections = Connections(f"https://127.0.0.1:{silent.getsockname()[1]}", {})
        with pytest.raises(Unreachable, match=r"no connection within 0\.1 s"):
            run_async(once(connections))


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command for a certificate"
)
@pytest.mark.parametrize("run", LOOPS)
def test_tls_with_a_known_certificate_and_never_with_another(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(OK)
    with pytest.raises(Unreachable, match="certificate verify failed"):
        talk(server, once, run=run, ssl=context)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert [reply.body for reply in talk(server, twice, run=run, ssl=context)] == [b"{}", b"{}"]
    assert len(server.requests) == 2


def test_a_header_is_one_line() -> None:
    with pytest.raises(AssertionError, match="one line"):
        Connections("http://localhost/v1", {"Authorization": "Bearer a\r\nHost: b"})

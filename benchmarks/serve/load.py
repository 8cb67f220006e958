"""`cotdistill serve` against its engine alone, under load, and with rough clients.

    python benchmarks/serve/load.py runs/serve-lab    # a run of benchmarks/serve/lab.yaml

The server runs as a process of its own; the engine alone is the same system in this process,
question by question in turns with the server, so that a busy machine slows both. Prints a table.
"""

import argparse
import json
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from cotdistill.records import Answer, Question
from cotdistill.serving.system import System, load_system
from cotdistill.util.concurrency import run_async, stream_map

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """Start the server; its address and process id are yielded."""
    program = [sys.executable, "-m", "cotdistill", "serve", str(folder), "--port", "0"]
    with subprocess.Popen([*program, "--name", "m"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[0], server.pid
        finally:
            server.terminate()


async def ask(session: aiohttp.ClientSession, url: str, question: str) -> tuple[float, Any]:
    """Return the seconds that a request took, and its reply (None: lost)."""
    body = {"model": "m", "messages": [{"role": "user", "content": question}]}
    started = time.perf_counter()
    try:
        async with session.post(f"{url}/chat/completions", json=body) as response:
            told = await response.json()
            reply = told if response.status == 200 else None
    except aiohttp.ClientError:
        reply = None
    return time.perf_counter() - started, reply


async def in_turns(url: str, system: System, questions: list[Question]) -> tuple[float, float]:
    """Return the median seconds of the engine alone, and of the server, one question at a time."""
    alone, behind = list[float](), list[float]()
    async with aiohttp.ClientSession() as session:
        for question in questions:
            started = time.perf_counter()
            own = await system.reply(question)
            alone.append(time.perf_counter() - started)
            seconds, told = await ask(session, url, question.block)
            behind.append(seconds)
            assert told["choices"][0]["message"]["reasoning_content"] == own.answer.text
    return statistics.median(alone), statistics.median(behind)


async def load(url: str, texts: list[str], concurrency: int) -> tuple[list[float], int, float]:
    """Return the seconds of each request, how many were lost, and the seconds of all together."""
    connector = aiohttp.TCPConnector(limit=concurrency)
    timeout = aiohttp.ClientTimeout(total=None)
    started, seconds, lost = time.perf_counter(), list[float](), 0
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        async for _, (took, told) in stream_map(
            lambda text: ask(session, url, text), texts, concurrency
        ):
            seconds.append(took)
            lost += told is None
    return seconds, lost, time.perf_counter() - started


async def engine_load(system: System, questions: list[Question], concurrency: int) -> float:
    """Return the seconds in which the engine alone answers as many at a time."""
    started, answers = time.perf_counter(), list[Answer]()
    async for _, reply in stream_map(system.reply, questions, concurrency):
        answers.append(reply.answer)
    return time.perf_counter() - started


def memory(process: int) -> float:
    """Return the resident memory of a process in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def rough(url: str) -> dict[str, int]:
    """Return the status that each rough client gets."""
    host, port = re.findall(r"//([\d.]+):(\d+)", url)[0]

    def status(sent: bytes) -> int:
        with socket.create_connection((host, int(port)), timeout=60) as one:
            one.sendall(sent)
            return int(one.makefile("rb").read(12)[9:12])

    def whole(body: bytes) -> bytes:
        return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body

    return {
        "no HTTP": status(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"),
        "malformed JSON": status(whole(b"{")),
        "wrong parameters": status(whole(json.dumps({"model": "m", "n": -1}).encode())),
        "body of 300 KB": status(whole(b" " * 300_000)),
        "head that never ends": status(HEAD),
        "body that never ends": status(HEAD + b"Content-Length: 9\r\n\r\n{"),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--alone", type=int, default=100, help="questions asked one at a time")
    parser.add_argument("--rounds", type=int, default=3, help="of load, for the memory")
    chosen = parser.parse_args()
    with load_system(chosen.run) as system, served(chosen.run) as (url, process):
        run, task = system.run, system.chosen.cell.task
        test = list(run.questions(task, "test"))
        asked = [test[n % len(test)] for n in range(chosen.requests)]
        texts = [question.block for question in asked]
        run_async(load(url, texts[:20], 10))
        alone, behind = run_async(in_turns(url, system, asked[: chosen.alone]))
        ms = f"engine alone {1e3 * alone:.1f} ms, served {1e3 * behind:.1f} ms"
        print(f"one at a time, p50: {ms}, ratio {behind / alone:.2f}", flush=True)
        for turn in range(chosen.rounds):
            seconds, lost, took = run_async(load(url, texts, chosen.concurrency))
            seconds.sort()
            p50, p95 = (1e3 * seconds[int(share * len(seconds))] for share in (0.5, 0.95))
            print(
                f"round {turn + 1}: {len(seconds)} requests, {lost} lost, {len(seconds) / took:.0f}"
                f" requests/s, p50 {p50:.0f} ms, p95 {p95:.0f} ms, memory {memory(process):.0f} MB",
                flush=True,
            )
        took = run_async(engine_load(system, asked, chosen.concurrency))
        print(f"engine alone, as many at a time: {len(asked) / took:.0f} questions/s", flush=True)
        for name, status in rough(url).items():
            print(f"{name}: {status}", flush=True)


if __name__ == "__main__":
    main()

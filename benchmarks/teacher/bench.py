"""Measures the teacher stage against the simulated endpoint, beside the bare client and, where
installed, three peers.

    python benchmarks/teacher/bench.py speed --repeat 3 --peers /tmp/peers
    python benchmarks/teacher/bench.py long | refused | faults | kill | growth | outage | memory
    python benchmarks/teacher/bench.py all --out results.json

Tools run one after the other in turn, each in a process of its own, against a fresh endpoint;
medians are reported. A peer runs with the interpreter FOLDER/NAME/bin/python and is left out where
there is none: see README.md for the set-up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = {
    "distilabel": "distilabel_tool",
    "curator": "curator_tool",
    "data-designer": "data_designer_tool",
}


class Endpoint:
    """A simulated endpoint in a process of its own."""

    def __init__(self, *options: object) -> None:
        self._start(*options, port=0)

    def _start(self, *options: object, port: int) -> None:
        command = [
            sys.executable,
            str(HERE / "simulated_endpoint.py"),
            "--port",
            str(port),
            *map(str, options),
        ]
        self.options = options
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def start_again(self) -> None:
        """Start with the same options at the same port."""
        self._start(*self.options, port=self.port)

    def stats(self) -> dict[str, Any]:
        """What it has seen."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats") as reply:
            seen: dict[str, Any] = json.load(reply)
        return seen

    def stop(self) -> None:
        """End it, as a power cut would."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def endpoint(*options: object) -> Iterator[Endpoint]:
    """An endpoint for the time of a block."""
    started = Endpoint(*options)
    try:
        yield started
    finally:
        started.stop()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the time of a block."""
    folder = Path(tempfile.mkdtemp(prefix="teacher-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def command(tool: str, settings: dict[str, Any], peers: Path | None) -> list[str] | None:
    """How to start a tool, or None where it is not installed."""
    if tool in PEERS:
        python = (peers or Path("/nowhere")) / tool / "bin" / "python"
        return (
            [str(python), str(HERE / "tools" / f"{PEERS[tool]}.py"), json.dumps(settings)]
            if python.exists()
            else None
        )
    return [sys.executable, str(HERE / "tools" / f"{tool}.py"), json.dumps(settings)]


def run(
    tool: str, peers: Path | None = None, timeout: float = 600, **settings: Any
) -> dict[str, Any] | None:
    """Run a tool once; None where it is not installed, {"error": ...} where it failed."""
    line = command(tool, settings, peers)
    if line is None:
        return None
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"error": f"not finished after {timeout:.0f} s"}
    last = [text for text in output.splitlines() if text.startswith(("RESULT ", "{"))]
    if process.returncode or not last:
        return {"error": (errors.strip().splitlines() or ["no output"])[-1][:300]}
    result: dict[str, Any] = json.loads(last[-1].removeprefix("RESULT "))
    return result


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Requests a second at 50 ms with 64 and 256 in flight, all tools in turn."""
    rates: dict[str, list[float]] = {}
    notes: dict[str, str] = {}
    for _ in range(options.repeat):
        for max_concurrency, count in ((64, 5_000), (256, 10_000)):
            for tool in ("ours", "bare", *PEERS):
                asked = (
                    count
                    if tool not in PEERS
                    else min(count, 2_000 if tool == "distilabel" else 5_000)
                )
                with endpoint("--latency", 0.05) as server, scratch() as folder:
                    settings: dict[str, Any] = {
                        "base_url": server.base_url,
                        "count": asked,
                        "max_concurrency": max_concurrency,
                    }
                    result = run(tool, options.peers, folder=str(folder), **settings)
                if result is None:
                    continue
                label = f"{tool} @{max_concurrency}"
                if "error" in result or result["answered"] != asked:
                    notes[label] = str(result)
                    continue
                rates.setdefault(label, []).append(asked / result["seconds"])
                if "processor_seconds" in result:
                    rates.setdefault(f"{label}, µs of processor time a request", []).append(
                        result["processor_seconds"] / asked * 1e6
                    )
    medians = {label: round(statistics.median(values)) for label, values in rates.items()}
    return {
        "medians": medians,
        "all": {k: [round(v) for v in values] for k, values in rates.items()},
        "notes": notes,
    }


def long(options: argparse.Namespace) -> dict[str, Any]:
    """20,000 requests of 0.5 s, 256 in flight: share of in-flight ÷ latency."""
    with endpoint("--latency", 0.5) as server, scratch() as folder:
        result = run(
            "ours", base_url=server.base_url, count=20_000, max_concurrency=256, folder=str(folder)
        )
    assert result is not None
    rate = result["answered"] / result["seconds"]
    return {"rate": round(rate, 1), "ceiling": 512, "share": round(rate / 512, 4)}


def refused(options: argparse.Namespace) -> dict[str, Any]:
    """5 % and 40 % of requests refused with Retry-After: 1, all tools in turn."""
    results: dict[str, Any] = {}
    for share, count in ((0.05, 1000), (0.4, 500)):
        for tool in ("ours", *PEERS):
            rates, notes = [], []
            for _ in range(options.repeat if tool == "ours" else 1):
                flags = (
                    "--latency",
                    0.05,
                    "--share-429",
                    share,
                    "--retry-after",
                    1,
                    "--count-prompts",
                )
                with endpoint(*flags) as server, scratch() as folder:
                    settings: dict[str, Any] = {
                        "base_url": server.base_url,
                        "count": count,
                        "max_concurrency": 64,
                        "folder": str(folder),
                    }
                    result = run(tool, options.peers, timeout=200, **settings)
                    stats = server.stats()
                if result is None:
                    break
                if "error" in result:
                    notes.append(result["error"])
                    continue
                rates.append(result["answered"] / result["seconds"])
                paid = stats["seen"]["answered"]
                notes.append(f"{result['answered']} of {count} answered, {paid} paid for")
            if rates or notes:
                rate = round(statistics.median(rates), 1) if rates else None
                results[f"{tool} {share:.0%}"] = {"rate": rate, "notes": notes}
    return results


FAULTS = (
    "--share-500",
    0.02,
    "--share-reset",
    0.01,
    "--share-hang",
    0.01,
    "--share-truncated",
    0.01,
    "--share-empty",
    0.01,
    "--share-wrong-type",
    0.005,
)


def faults(options: argparse.Namespace) -> dict[str, Any]:
    """6.5 % of requests fail in six ways: time against a run without faults, at 0.5 s with a
    time-out of 3 s."""
    seconds: dict[str, float] = {}
    report: dict[str, Any] = {}
    for label, flags in (("without faults", ()), ("with faults", FAULTS)):
        with endpoint("--latency", 0.5, *flags) as server, scratch() as folder:
            settings: dict[str, Any] = {
                "base_url": server.base_url,
                "count": 20_000,
                "max_concurrency": 128,
                "timeout_s": 3.0,
            }
            result = run("ours", folder=str(folder), **settings)
        assert result is not None
        seconds[label] = result["seconds"]
        report[label] = {
            "answered": result["answered"],
            "failed": result["failed"],
            "events": result["ledger"]["events"],
        }
    return {
        "seconds": seconds,
        "ratio": round(seconds["with faults"] / seconds["without faults"], 3),
        **report,
    }


def kill(options: argparse.Namespace) -> dict[str, Any]:
    """20 × kill -9 at random moments, then to the end: what was lost, what was asked again, whether
    the file is the same."""
    rng, count, max_concurrency = random.Random(1), 30_000, 64
    with endpoint("--latency", 0.05, "--count-prompts") as server, scratch() as folder:
        undisturbed, killed = folder / "a", folder / "b"
        run(
            "ours",
            base_url=server.base_url,
            count=count,
            max_concurrency=max_concurrency,
            folder=str(undisturbed),
        )
        before = server.stats()["seen"]["answered"]
        settings: dict[str, Any] = {
            "base_url": server.base_url,
            "count": count,
            "max_concurrency": max_concurrency,
            "folder": str(killed),
        }
        line = command("ours", settings, None)
        assert line is not None
        lost, kept = 0, 0
        for _ in range(20):
            process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
            deadline = time.monotonic() + 30
            while _kept(killed) == kept and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.9))
            seen = _kept(killed)
            process.kill()
            process.wait()
            kept = _kept(killed)
            lost += max(0, seen - kept)
        final = run("ours", **settings)
        assert final is not None
        asked_again = server.stats()["seen"]["answered"] - before - count
        same = (undisturbed / "rationales.jsonl").read_bytes() == (
            killed / "rationales.jsonl"
        ).read_bytes()
    return {
        "arrived before the last run": kept,
        "lost": lost,
        "asked again": asked_again,
        "allowed": 20 * max_concurrency,
        "same file": same,
    }


def _kept(folder: Path) -> int:
    import sqlite3

    path = folder / "completions.sqlite"
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            return int(database.execute("SELECT count(*) FROM completions").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """+100 rows on a finished 5,000, then D from 4 to 8: exactly the new requests."""
    with endpoint("--latency", 0.01) as server, scratch() as folder:
        asked, before = [], (0, 0)
        for count, samples in ((5_000, 1), (5_000, 1), (5_100, 1), (5_100, 4), (5_100, 8)):
            settings: dict[str, Any] = {
                "base_url": server.base_url,
                "count": count,
                "max_concurrency": 256,
                "samples": samples,
            }
            result = run("ours", folder=str(folder), **settings)
            assert result is not None
            ledger = result["ledger"]  # the sums of all calls on this folder
            so_far = ledger["events"]["requests"], ledger["roles"]["teacher"]["completions"]
            asked.append([count, samples, so_far[0] - before[0], so_far[1] - before[1]])
            before = so_far
    return {"rows, samples, requests, completions": asked}


def outage(options: argparse.Namespace) -> dict[str, Any]:
    """The endpoint is gone for 60 s in the middle of a run."""
    server = Endpoint("--latency", 0.05, "--count-prompts")
    answered_before = 0

    def break_down() -> None:
        nonlocal answered_before
        time.sleep(4)
        answered_before = server.stats()["seen"]["answered"]
        server.stop()
        time.sleep(60)
        server.start_again()

    thread = threading.Thread(target=break_down)
    with scratch() as folder:
        thread.start()
        result = run(
            "ours", base_url=server.base_url, count=10_000, max_concurrency=64, folder=str(folder)
        )
        thread.join()
        again = server.stats()["seen"]["answered"] + answered_before - 10_000
    server.stop()
    assert result is not None
    return {
        "answered": result["answered"],
        "seconds": round(result["seconds"], 1),
        "asked again": again,
    }


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory for a million questions against ten thousand, latency 0, log on."""
    peaks, rates = {}, {}
    for count in (10_000, options.million):
        with endpoint("--latency", 0) as server, scratch() as folder:
            settings: dict[str, Any] = {"base_url": server.base_url, "count": count}
            settings["max_concurrency"] = 256
            result = run("ours", timeout=3600, folder=str(folder), **settings)
        assert result is not None
        peaks[count], rates[count] = round(result["peak_mb"], 1), round(count / result["seconds"])
    return {
        "peak MB": peaks,
        "ratio": round(peaks[options.million] / peaks[10_000], 3),
        "requests a second": rates,
    }


BENCHMARKS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "speed": speed,
    "long": long,
    "refused": refused,
    "faults": faults,
    "kill": kill,
    "growth": growth,
    "outage": outage,
    "memory": memory,
}


def main() -> None:
    """Run the named benchmarks and print what they find as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="+", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--peers", type=Path, default=None, help="folder with one virtual environment for each peer"
    )
    parser.add_argument("--million", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    names = list(BENCHMARKS) if "all" in options.names else options.names
    results = {}
    for name in names:
        results[name] = BENCHMARKS[name](options)
        print(f"{name}: {json.dumps(results[name], indent=1, ensure_ascii=False)}", flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()

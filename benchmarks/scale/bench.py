"""Measures runs that are shared out: the same results, throughput, limits, what a kill costs.

    python benchmarks/scale/bench.py same | throughput | rate | budget | workers | nodes | head
    python benchmarks/scale/bench.py again
    python benchmarks/scale/bench.py curate --rationales 100000 300000 1000000

Everything runs on this machine: the simulated endpoint of `benchmarks/teacher`, local Ray clusters
(several nodes on loopback for `nodes`). Needs the extra `ray`. Prints one line of JSON for a row.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "teacher"))
import clients
import synthetic
from bench import endpoint, scratch  # type: ignore[import-not-found]

from cotdistill.errors import CotdistillError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.runs.run import Run
from cotdistill.runs.shards import Shard
from cotdistill.stages.merge import merge_shards
from cotdistill.testing.tiny import tiny_checkpoint

TASK, METHOD = "apples", "cot"
TOKENS = 170
"""Tokens of a request and its reply, about."""


def recipe(folder: Path, url: str, count: int, **changes: Any) -> dict[str, Any]:
    """A recipe over `count` training questions, put to the endpoint at `url`."""
    path = {split: str(folder / f"{split}.jsonl") for split in ("train", "test")}
    if not (folder / "train.jsonl").exists():
        for split, size in (("train", count), ("test", 8)):
            with Path(path[split]).open("w") as file:
                for n in range(size):
                    text = f"How many apples are in {split} basket {n}?"
                    file.write(json.dumps({"question": text, "answer": str(n % 100)}) + "\n")
    teacher = {"name": "openai", "model": "m", "base_url": url, "label": "endpoint"}
    data = {
        "name": "one",
        "output": str(folder),
        "task": {"name": "custom", "path": path, "answer": "number", "label": TASK},
        "teacher": {**teacher, "max_concurrency": 256, **changes.pop("teacher", {})},
        "methods": [
            {
                "name": "fine_tune_cot",
                "label": METHOD,
                "answer_call": False,
                "max_tokens": 256,
                "student_max_tokens": 8,
            }
        ],
        "filters": ["truncated", "duplicates"],
        "limit": {"validation": 0},
        "train": {"epochs": 1, "max_steps": 2, "selection": "last"},
    }
    return {**data, **changes}


def on_ray(workers: int, **settings: Any) -> dict[str, Any]:
    return {"name": "ray", "workers": workers, "cpus": 0.25, **settings}


def digest(folder: Path) -> str:
    """A hash of what was kept and of the scores."""
    kept = (folder / TASK / METHOD / "curate" / "kept.jsonl").read_bytes()
    scores = json.loads((folder / "scores.json").read_text())["rows"]
    return hashlib.sha256(kept + json.dumps(scores).encode()).hexdigest()[:16]


def arrivals(port: int) -> list[float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats") as reply:
        found: list[float] = json.load(reply)["arrivals"]
    return found


def same(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The same recipe in one process, on Ray with 1, 2 and 4 workers, and as 4 shards merged."""
    with endpoint("--latency", 0.02) as server, scratch() as folder:
        base = {"model": str(tiny_checkpoint(folder / "base", "gpt2")), "label": "tiny"}
        common = recipe(folder, server.base_url, 200, student=base)
        one = run_recipe(parse_recipe(common))
        yield {"how": "one process", "digest": digest(one.folder)}
        for workers in (1, 2, 4):
            changes = {"name": f"ray-{workers}", "executor": on_ray(workers)}
            run = run_recipe(parse_recipe({**common, **changes}))
            yield {"how": f"ray, {workers} workers", "digest": digest(run.folder)}
        shared = parse_recipe({**common, "name": "shards"})
        for stage in ("generate", "infer"):
            for index in range(1, 5):
                run_recipe(shared, stages=[stage], shard=Shard(index, 4))
            list(merge_shards(shared))
            if stage == "generate":
                run_recipe(shared, stages=["curate", "train"])
        yield {"how": "4 shards merged", "digest": digest(run_recipe(shared).folder)}


def processor(apart: Any) -> float:
    """Seconds of processor time of this process and all below it, but for the endpoint `apart`."""
    tick, used, above = os.sysconf("SC_CLK_TCK"), {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parts = path.read_text().rpartition(")")[2].split()
            above[int(path.parent.name)] = int(parts[1])
            # Of ended children too: utime, stime, cutime, cstime.
            used[int(path.parent.name)] = sum(map(int, parts[11:15])) / tick
    ours = {os.getpid()}
    while more := {one for one, parent in above.items() if parent in ours} - ours:
        ours |= more - {apart.process.pid}
        above.pop(apart.process.pid, None)
    return sum(used[one] for one in ours)


@contextlib.contextmanager
def local_ray(cores: int) -> Iterator[None]:
    """A cluster for several runs, so that its start is not what is measured."""
    import ray

    quiet = {"log_to_driver": False, "include_dashboard": False}
    # "local": not one that happens to run on this machine.
    ray.init("local", num_cpus=cores, object_store_memory=100 * 2**20, **quiet)
    yield
    ray.shutdown()


def throughput(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Requests a second for a concurrency in all, between 10 and 90 % of the requests."""
    with local_ray(2):
        for concurrency in options.concurrency:
            single = 0.0
            for workers in (0, 1, 2, 4):
                row = throughput_of(workers, concurrency, options)
                single = single or row["a second"]
                yield {**row, "of one process": round(row["a second"] / single, 3)}


def throughput_of(workers: int, concurrency: int, options: argparse.Namespace) -> dict[str, Any]:
    """A generation over so many workers, or in this process; `load` is that of its last minute."""
    count = options.count or 20 * concurrency
    with endpoint("--latency", options.latency, "--note-arrivals") as server, scratch() as folder:
        executor = on_ray(workers) if workers else "local"
        teacher = {"max_concurrency": concurrency}
        data = recipe(folder, server.base_url, count, executor=executor, teacher=teacher)
        before = processor(server)
        run_recipe(parse_recipe({**data, "max_concurrency": concurrency}), stages=["generate"])
        used = processor(server) - before
        times, seen = arrivals(server.port), server.stats()
    low, high = len(times) // 10, len(times) * 9 // 10
    rate = (high - low) / (times[high] - times[low])
    return {
        "concurrency": concurrency,
        "workers": workers or "one process",
        "requests": len(times),
        "a second": round(rate, 1),
        "of the possible": round(rate * options.latency / concurrency, 3),
        "most in flight": seen["most_in_flight"],
        "processor ms a request": round(1000 * used / len(times), 2),
        "load": round(os.getloadavg()[0], 1),
    }


def rate(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """100 requests a second over 4 workers for a minute: the busiest second, and the mean."""
    with endpoint("--latency", 0.2, "--note-arrivals") as server, scratch() as folder:
        teacher = {"requests_per_minute": 6000}
        count = options.count or 7000
        data = recipe(folder, server.base_url, count, teacher=teacher, executor=on_ray(4))
        run_recipe(parse_recipe(data), stages=["generate"])
        times = arrivals(server.port)
    # From when all workers are there to when the first of them has no more to ask.
    begin = next(b for a, b in itertools.pairwise(times) if b - times[0] > 3)
    steady = [at for at in times if begin <= at <= times[-1] - 3]
    busiest = max(
        sum(at <= one < at + 1 for one in times[n : n + 400]) for n, at in enumerate(times)
    )
    mean = (len(steady) - 1) / (steady[-1] - steady[0])
    row = {"requests": len(times), "seconds": round(times[-1] - times[0], 1)}
    load = round(os.getloadavg()[0], 1)
    yield {**row, "busiest second": busiest, "mean": round(mean, 1), "load": load}


def budget(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A budget for half of the questions over 4 workers: what was spent beyond it."""
    with local_ray(2):
        for _ in range(options.repeat):
            with endpoint("--latency", 0.2) as server, scratch() as folder:
                count = options.count or 2000
                limit = count * 0.9 / 2 * TOKENS
                data = recipe(folder, server.base_url, count, executor=on_ray(4))
                refused = ""
                try:
                    run_recipe(
                        parse_recipe({**data, "budget": {"tokens": int(limit)}}),
                        stages=["generate"],
                    )
                except CotdistillError as error:
                    refused = str(error)
                seen = server.stats()
            beyond = seen["seen"]["tokens"] - int(limit)
            yield {
                "budget": int(limit),
                "used": seen["seen"]["tokens"],
                "requests": seen["seen"]["requests"],
                "requests beyond": round(max(0, beyond) / TOKENS, 1),
                "most in flight": seen["most_in_flight"],
                "ended with": refused[:60],
            }


def half_way(port: int, count: int) -> None:
    """Return once the endpoint has seen between 40 and 60 % of the requests."""
    wanted = count * random.uniform(0.4, 0.6)
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats") as reply:
            if json.load(reply)["seen"].get("requests", 0) > wanted:
                return
        time.sleep(0.02)


def disturbed(server: Any, folder: Path, count: int, disturb: Any) -> dict[str, Any]:
    """Generate on Ray with a disturbance half way; what was lost and what was asked again."""
    data = recipe(folder, server.base_url, count, executor=on_ray(4, shards=8), teacher=NAMED)
    dead: list[int] = []

    def watch() -> None:
        half_way(server.port, count)
        dead.extend(disturb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    run = run_recipe(parse_recipe(data), stages=["generate"])
    watcher.join(5)
    return kept_of(run, server, dead)


def kept_of(run: Run, server: Any, dead: Sequence[int]) -> dict[str, Any]:
    """What a run has, what it asked more than once, and what the dead had in flight."""
    found = clients.account(run, server.port, dead)
    missing = run.digest(TASK, "train")[1] - found["completions"]
    return {"missing": missing, **found, "load": round(os.getloadavg()[0], 1)}


def our_workers(raylet: int = 0) -> list[int]:
    """Processes that do a task of ours: children of a raylet, of any that this process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if (path / "cmdline").read_bytes().startswith(b"ray::cotdistill"):
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                above = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1]
                if raylet in (0, parent) and int(above) == os.getpid():
                    found.append(int(path.name))
    return found


def workers(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A worker killed half way, five times."""

    def kill() -> list[int]:
        pid = random.choice(our_workers())
        os.kill(pid, signal.SIGKILL)
        return [pid]

    with local_ray(2):
        for _ in range(options.repeat):
            with endpoint(*WATCHED) as server, scratch() as folder:
                yield disturbed(server, folder, options.count or 4000, kill)


NAMED = {"name": "clients:Named"}
WATCHED = ("--latency", 0.5, "--note-clients")
SMALL = {"object_store_memory": 100 * 2**20}
HEAD = {"num_cpus": 0, "include_dashboard": False, **SMALL}
"""The head has no processors for tasks."""


def nodes(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A node killed half way, five times."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    ray.init(address=cluster.address, log_to_driver=False)
    there = [cluster.add_node(num_cpus=1, **SMALL) for _ in range(2)]

    def kill() -> list[int]:
        node = there.pop(0)
        (raylet,) = node.all_processes["raylet"]
        dead = our_workers(raylet.process.pid)
        cluster.remove_node(node, allow_graceful=False)
        return dead

    for _ in range(options.repeat):
        with endpoint(*WATCHED) as server, scratch() as folder:
            yield disturbed(server, folder, options.count or 4000, kill)
        there.append(cluster.add_node(num_cpus=1, **SMALL))
    ray.shutdown()
    cluster.shutdown()


def head(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The head killed half way and started again at its address, five times; then a second call.

    The head has no store of its own, so that what it knew of the cluster is lost.
    """
    for _ in range(options.repeat):
        with endpoint(*WATCHED) as server, scratch() as folder:
            yield head_of(server, folder, options.count or 4000)


def head_of(server: Any, folder: Path, count: int) -> dict[str, Any]:
    """A call whose cluster loses its head, and the next one."""
    from ray.cluster_utils import Cluster

    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    cluster = Cluster(initialize_head=True, head_node_args={**HEAD, "gcs_server_port": port})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **SMALL)
    executor = on_ray(4, shards=8, address=cluster.address)
    data = recipe(folder, server.base_url, count, executor=executor, teacher=NAMED)
    (folder / "recipe.yaml").write_text(json.dumps(data))
    command = [sys.executable, "-m", "cotdistill", "generate", str(folder / "recipe.yaml")]
    with (folder / "said").open("w+") as said:
        first = subprocess.Popen(command, stdout=said, stderr=said)
        half_way(server.port, count)
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        killed, ended = time.monotonic(), list[float]()

        def wait() -> None:
            first.wait()
            ended.append(time.monotonic())

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        cluster.add_node(**HEAD, gcs_server_port=port)
        code = first.wait(timeout=200)
        waiting.join()
        seconds = ended[0] - killed
        said.seek(0)
        last = (said.read().strip().splitlines() or [""])[-1]
    # What a supervisor does with nodes whose head is another one now.
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node, allow_graceful=False)
    while our_workers():
        time.sleep(0.1)
    dead = [int(one["client"]) for one in clients.seen_by(server.port)["requests"]]
    for _ in range(2):
        cluster.add_node(num_cpus=1, **SMALL)
    second = subprocess.run(command, stdout=subprocess.DEVNULL, timeout=200).returncode
    cluster.shutdown()
    row = {"first call ended after": round(seconds, 1), "with": code, "saying": last[:160]}
    return {**row, "second call": second, **kept_of(Run(parse_recipe(data)), server, dead)}


def again(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A finished run called again: each stage in a process of its own, seconds and peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name), options.count or 300_000
        data = recipe(folder, "", count)
        data["teacher"] = {"name": "scripted", "replies": " Two and two. The answer is 4."}
        (folder / "recipe.yaml").write_text(json.dumps(data))
        for stage in ("generate", "curate", "generate", "curate"):
            used = measured(stage, folder)
            yield {"stage": stage, "questions": count, **used}


PEAK = """
import sys
from pathlib import Path
from cotdistill.__main__ import main

stage, folder = sys.argv[1], Path(sys.argv[2])
sys.argv[1:] = [stage, str(folder / "recipe.yaml")]
try:
    main()
finally:
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    (folder / "peak").write_text(peak)
"""


def measured(stage: str, folder: Path) -> dict[str, Any]:
    """Run a stage of a folder's recipe in a process of its own; seconds and peak memory.

    The process reads its own peak: that in `getrusage` begins with the memory of the parent.
    """
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", PEAK, stage, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = time.monotonic() - began
    peak = int((folder / "peak").read_text()) // 1024
    return {"seconds": round(seconds, 1), "processor": round(processor, 1), "peak MB": peak}


FILTERS = (
    "truncated",
    "answer_match",
    "equations",
    {"name": "length", "maximum": 120},
    "duplicates",
    "near_duplicates",
)


def curate(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A generation that is finished, of so many rationales, curated by a process of its own."""
    for count in options.rationales:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            for split, size in (("train", -(-count // synthetic.SAMPLES)), ("test", 1000)):
                synthetic.write_questions(folder / f"{split}.jsonl", split, size)
            data = {**recipe(folder, "", 0), "teacher": {"name": "scripted", "replies": ""}}
            data["filters"] = FILTERS
            data["task"]["validation"] = 0
            (folder / "recipe.yaml").write_text(json.dumps(data))
            run = Run(parse_recipe(data))
            run.folder.mkdir(parents=True)
            ((task, method),) = run.trained()
            generated = run.generate_artifact(task, method)
            questions = synthetic.write_rationales(generated.start() / "rationales.jsonl", count)
            generated.complete({"questions": questions, "rationales": count})
            used = measured("curate", folder)
            done = run.curate_artifact(task, method).require("curate")
            each = 1e6 * used["processor"] / count
            yield {
                "rationales": done["candidates"],
                "kept": done["kept"],
                "reasons": len(done["dropped"]),
                **used,
                "rationales a second": round(count / used["seconds"]),
                "microseconds each": round(each, 1),
            }


ROWS = {
    one.__name__: one
    for one in (same, throughput, rate, budget, workers, nodes, head, again, curate)
}


def main() -> None:
    """Run the rows that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--count", type=int, help="training questions")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[256], help="throughput")
    parser.add_argument("--latency", type=float, default=0.5, help="throughput: seconds")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--rationales", type=int, nargs="+", default=[100_000, 300_000, 1_000_000], help="curate"
    )
    parser.add_argument("--folder", help="for what `curate` writes: 0.9 kB a rationale")
    options = parser.parse_args()
    # Where workers find the teacher `clients:Named`.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    for row in ROWS[options.row](options):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

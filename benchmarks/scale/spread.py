"""Measures training on several processes against one: losses and weights, DDP and FSDP.

    CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 python benchmarks/scale/spread.py
    CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 python benchmarks/scale/spread.py --ray

The lab's student and a random T5 of four layers without dropout learn the same sums in float32;
rows with an arrow are broken off twice and go on with another number of processes. With `--ray` the
processes of several are on two nodes of one core each, of which one, or a process, is killed half
way in more rows. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from cotdistill import __version__
from cotdistill.contracts import TrainResult, TrainSettings
from cotdistill.executors._cluster import Caller
from cotdistill.executors._ray_train import RayTrain
from cotdistill.records import Example
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint, train_on
from cotdistill.util.launching import LAUNCHER

EXAMPLES = [
    Example(
        "student",
        f"Ana has {a} apples and buys {b} more. How many apples does she have now?",
        f"Ana starts with {a} apples. {a} + {b} = {a + b}. The answer is {a + b}.",
    )
    for a in range(2, 12)
    for b in range(2, 10)
]
T5 = {"model_type": "t5", "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 4, "num_heads": 4}
SETTINGS = TrainSettings(
    epochs=2, precision="float32", selection="last", save_minutes=1e-9, learning_rate=1e-3
)


@dataclass(frozen=True)
class Part:
    """A training up to where it is broken off, or to its end."""

    processes: int = 2
    strategy: str = "ddp"
    until: int = 0
    """The step in which it is broken off; 0: it ends."""
    disturb: Callable[[], None] | None = None
    """What happens in step 10."""


RUNS = {
    "1 process": [Part(1)],
    "DDP, 2": [Part()],
    "FSDP, 2": [Part(strategy="fsdp")],
    "DDP 2 → 1 → DDP 2": [Part(until=7), Part(1, until=14), Part()],
    "FSDP 2 → 1 → FSDP 2": [Part(2, "fsdp", 7), Part(1, until=14), Part(2, "fsdp")],
}


def trained(student: TransformersStudent, out: Path, parts: list[Part]) -> TrainResult:
    """Train in parts; return the figures of the last."""
    for part in parts:
        disturbances = [part.disturb] if part.disturb else []

        def progress(
            count: int, note: str, part: Part = part, left: list[Any] = disturbances
        ) -> None:
            if note.startswith(f"step {part.until}/"):
                raise KeyboardInterrupt
            if note.startswith("step 10/") and left:
                left.pop()()

        spread = {"processes": part.processes, "strategy": part.strategy}
        settings = SETTINGS.model_copy(update=spread)
        try:
            result = train_on(EXAMPLES, student, settings, out, seed=3, on_progress=progress)
        except KeyboardInterrupt:
            continue
    return result


def kill_process() -> None:
    """Kill one of the processes that train."""
    os.kill(random.choice(training_processes()), signal.SIGKILL)


def training_processes() -> list[int]:
    """Return the processes of Ray Train's workers among the descendants of this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            above, name = int(folder.name), (folder / "cmdline").read_text("utf-8", "replace")
            while "TrainWorker" in name and above not in (0, os.getpid()):
                above = int(
                    (Path("/proc") / str(above) / "stat").read_text().split(")")[1].split()[1]
                )
        except OSError:
            continue
        if "TrainWorker" in name and above:
            found.append(int(folder.name))
    return found


def nodes_of_groups() -> list[int]:
    """Return on how many nodes each group of processes was placed so far."""
    from ray.util import placement_group_table

    return [
        len(set(one["bundles_to_node_id"].values())) for one in placement_group_table().values()
    ]


@contextmanager
def two_nodes() -> Iterator[Callable[[], None]]:
    """Start processes on a Ray cluster of two nodes with a core each; yield what kills a node."""
    import ray
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    nodes = [cluster.add_node(**size)]

    def kill_node() -> None:
        """Kill the node without the head; another takes its place."""
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        nodes.append(cluster.add_node(**size))

    try:
        ray.init(address=cluster.address, log_to_driver=False)
        caller = Caller(__version__, "", str(Path.cwd()))
        LAUNCHER.set(RayTrain(caller, cpus=1, gpus=0, retries=3, together=1, own=False))
        yield kill_node
        print(f"\nNodes of each group of processes: {nodes_of_groups()}")
    finally:
        ray.shutdown()
        cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ray", action="store_true", help="on a Ray cluster of two nodes")
    if not parser.parse_args().ray:
        compare(RUNS)
        return
    with two_nodes() as kill_node:
        killed = {
            "DDP, 2, a process killed": [Part(disturb=kill_process)],
            "FSDP, 2, a process killed": [Part(strategy="fsdp", disturb=kill_process)],
            "DDP, 2, a node killed": [Part(disturb=kill_node)],
        }
        compare({**RUNS, **killed})


def compare(runs: dict[str, list[Part]]) -> None:
    """Print how far each run is from the first."""
    print("| student | trained by | first loss | last loss | losses differ by | weights, mean |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reader = tiny_checkpoint(folder / "t5", "t5", texts=[one.prompt for one in EXAMPLES])
        size = {"vocab_size": 220, "decoder_start_token_id": 0, "dropout_rate": 0.0}
        students = {
            "lab": TransformersStudent(model="lab"),
            "T5, 4 layers": TransformersStudent(config={**T5, **size}, tokenizer=str(reader)),
        }
        for label, student in students.items():
            losses, weights = list[float](), dict[str, Any]()
            for number, (run, parts) in enumerate(runs.items()):
                out = folder / f"{label}-{number}"
                result = trained(student, out, parts)
                own = [float(one["loss"]) for one in result.history if "loss" in one]
                made = load_file(out / "model.safetensors")
                losses, weights = losses or own, weights or made
                apart = max(abs(a - b) for a, b in zip(losses, own, strict=True))
                far = max(float((made[key] - weights[key]).abs().mean()) for key in weights)
                figures = f"{own[0]:.5f} | {own[-1]:.5f} | {apart:.0e} | {far:.0e}"
                print(f"| {label} | {run} | {figures} |", flush=True)


if __name__ == "__main__":
    main()

"""What a cluster lacks is said, and what does not answer is not waited for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cotdistill.errors import UserError
from cotdistill.executors import _cluster
from cotdistill.executors._cluster import GONE_S, GRACE_S, LOOK_S, NODE_S, Node, reason, stop


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(_cluster, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


class Cluster:
    """A Ray of a cluster on which every look takes its time, and nothing else."""

    def __init__(self, clock: SimpleNamespace, ends_at: float, heard_until: float) -> None:
        self.clock, self.ends_at, self.heard_until = clock, ends_at, heard_until
        self.cancelled: list[str] = []
        self.call = SimpleNamespace(remote=lambda name: name)

    def cancel(self, task: str) -> None:
        self.cancelled.append(task)

    def wait(self, tasks: list[str], num_returns: int, timeout: float) -> Any:
        if self.clock.s + timeout >= self.ends_at:
            return tasks, []
        self.clock.s += timeout
        return [], tasks

    def get(self, name: str, timeout: float) -> Any:
        return {}, [], max(0.0, self.clock.s - self.heard_until)


FOR_EVER = 1e9


@pytest.mark.parametrize(
    ("ends_at", "heard_until", "waited"),
    [
        (30.0, FOR_EVER, 30.0),  # requests under way are finished
        (FOR_EVER, FOR_EVER, GRACE_S),
        (FOR_EVER, 2.0, 2 + GONE_S),  # the node of the last worker died
        (FOR_EVER, -99.0, GONE_S),  # nobody was at work, as far as is known
    ],
)
def test_workers_are_waited_for_while_any_is_heard(
    clock: SimpleNamespace, ends_at: float, heard_until: float, waited: float
) -> None:
    cluster = Cluster(clock, ends_at, heard_until)
    stop(cluster, ["a", "b"], cluster)
    assert cluster.cancelled == ["a", "b"]
    assert waited - LOOK_S <= clock.s <= waited + 2 * LOOK_S


class Lines(list[str]):
    log = list.append


def test_what_no_node_has_is_said_and_waited_for_only_where_nodes_may_come(
    clock: SimpleNamespace,
) -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0}},
        {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 4.0}},
    ]
    ray, lines = SimpleNamespace(nodes=lambda: nodes), Lines()
    Node({"CPU": 8, "GPU": 0}, "train", grows=False).look(ray, lines)
    lack = r"train needs 1 CPU and 1 GPU, and no node has them \(at most 8 CPU and 0 GPU\)"
    with pytest.raises(UserError, match=rf"executor ray: .*{lack}; change `cpus`, `gpus`"):
        Node({"CPU": 1, "GPU": 1}, "train", grows=False).look(ray, lines)
    growing = Node({"CPU": 1, "GPU": 1}, "train", grows=True)
    growing.look(ray, lines)
    growing.look(ray, lines)
    assert len(lines) == 1 and "waits 600 s" in lines[0]
    clock.s += NODE_S
    with pytest.raises(UserError, match=lack):
        growing.look(ray, lines)
    nodes[1]["Alive"] = True
    growing.look(ray, lines)


def test_the_line_that_says_why() -> None:
    assert reason(RuntimeError("gone\n\tclass_name: Keeper")) == "gone"
    trace = "ray::f() (ip=10.0.0.5)\nTraceback (most recent call last):\n  f\nNo module named 'x'\n"
    assert reason(RuntimeError(trace)) == "No module named 'x'"
    assert reason(RuntimeError()) == "RuntimeError"

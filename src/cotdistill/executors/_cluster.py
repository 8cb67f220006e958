"""Shortcomings of a Ray cluster, and the end of its tasks: a clear line, and no endless wait."""

import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cotdistill import __version__
from cotdistill.errors import UserError
from cotdistill.util.terminal import shortened

LOOK_S = 0.5
"""Seconds between two looks at what the workers have done."""
GRACE_S = 60.0
"""Seconds for workers to stop after one has failed: requests under way finish and are kept."""
GONE_S = 4.0
"""Seconds of silence after which no worker is waited for: they report ten times a second."""
NODE_S = 600.0
"""Seconds for a cluster to grow a node that has what a task needs."""


class Node:
    """Tells whether any node of a cluster has what each task of a stage needs, CPU and GPU.

    Tasks that no node can do wait for one without a word. A cluster that `grows` may get such a
    node later: an autoscaler makes one for tasks that wait.
    """

    def __init__(self, needs: Mapping[str, float], stage: str, *, grows: bool) -> None:
        self._needs, self._stage = needs, stage
        self._until = time.monotonic() + (NODE_S if grows else 0.0)
        self._there = self._said = False

    def look(self, ray: Any, progress: Any) -> None:
        """Look for such a node until there is one; say once that there is none yet.

        Raises:
            UserError: there is none still.
        """
        if self._there:
            return
        found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needs = self._needs.items()
        self._there = any(all(one.get(k, 0) >= count for k, count in needs) for one in found)
        if self._there:
            return
        most = {kind: max((one.get(kind, 0) for one in found), default=0) for kind in self._needs}
        lack = f"a task of {self._stage} needs {words(self._needs)}, and no node has them (at most"
        lack += f" {words(most)})"
        if time.monotonic() >= self._until:
            remedy = "change `cpus`, `gpus` or `stages` of the executor, or add a node"
            raise UserError(f"executor ray: {lack}; {remedy}")
        if not self._said:
            progress.log(f"{lack}; waits {NODE_S:.0f} s for the cluster to add one")
        self._said = True


def words(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{count:g} {kind}" for kind, count in resources.items())


class Caller(NamedTuple):
    """The process that gives the tasks: its version, host and working folder."""

    version: str
    host: str
    folder: str


def enter(caller: Caller) -> None:
    """Work where the caller works: the paths of a recipe are relative to that.

    Raises:
        UserError: this node has no such folder, or another version of this package.
    """
    node = f"executor ray: node {socket.gethostname()} has"
    if caller.version != __version__:
        raise UserError(f"{node} cotdistill {__version__}, the caller {caller.version}")
    try:
        os.chdir(caller.folder)
    except OSError as error:
        raise UserError(
            f"{node} no folder {caller.folder}; the nodes of the cluster need a shared file system"
            " with the recipe's data and run folder"
        ) from error


def reason(error: BaseException) -> str:
    """Return the line that says why: the last of a traceback from a worker, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = (lines or [type(error).__name__])[-1 if "Traceback" in str(error) else 0]
    return shortened(line, 200)


def host_of(error: BaseException) -> str:
    """Return the address of the node where a task failed."""
    # As Ray begins the error of a task: "ray::_do() (pid=17, ip=10.0.0.5)".
    found = re.search(r"\bip=([0-9a-fA-F.:]{1,45})", str(error))
    return found[1] if found else "of the cluster"


def stop(ray: Any, tasks: Iterable[Any], keeper: Any) -> None:
    """Interrupt tasks as Ctrl-C would, and wait for them to store what they have.

    Raises:
        RayError: the cluster is gone.
    """
    left, began = list(tasks), time.monotonic()
    for task in left:
        ray.cancel(task)
    while left and (waited := time.monotonic() - began) < GRACE_S:
        _, left = ray.wait(left, num_returns=len(left), timeout=LOOK_S)
        _, _, silence = ray.get(keeper.call.remote("read"), timeout=GONE_S)
        if min(waited, silence) > GONE_S:  # whoever is left cannot say that it ended
            return

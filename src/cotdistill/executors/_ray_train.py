"""The processes of one training on a Ray cluster, placed by Ray Train.

The job of a training waits in a task without processor or GPU of its own; its processes are a group
of Ray Train's, of which each has the `cpus` and `gpus` of the stage, on one node or several. Where
one dies the whole group is started again and goes on from its last checkpoint. Ray Train keeps no
checkpoints here: they lie in the run folder, as those of any training.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import StoreError, UserError
from cotdistill.executors._cluster import GRACE_S, LOOK_S, NODE_S, Caller, enter, words

_A_LITTLE = 0.001
"""Processor cores of a process that asks for none: Ray places nothing that needs nothing."""
_HELD = "placement group "
"""Begins the file of errors while a group is at work."""


@dataclass(frozen=True)
class RayTrain:
    """Starts processes on the cluster (`util.launching.Launcher`); made in the task of the job."""

    caller: Caller
    cpus: float
    gpus: float
    """What each process needs."""
    retries: int
    together: int
    """Trainings at work at a time, which share the cluster's GPUs."""
    own: bool
    """Whether the cluster was started for the run, with cores for tasks of one process."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """The variables before the job began; those that it sets are for its processes too."""

    def accelerators(self) -> int:
        """See `Launcher`: an even share of the cluster's GPUs."""
        import ray

        return int(ray.cluster_resources().get("GPU", 0)) // self.together

    def start(
        self,
        main: Callable[[Path, Callable[[str], None]], None],
        description: Path,
        count: int,
        errors: Path,
    ) -> Generator[str]:
        """See `Launcher`.

        Raises:
            UserError: the cluster is too small.
        """
        _release(errors)
        work = {"main": main, "description": description, "errors": errors, "caller": self.caller}
        work["environment"] = self._set_since()
        room = _Room(self._needs(count), count, NODE_S if not self.own else 0.0)
        for left in reversed(range(self.retries + 1)):
            failure = yield from _run(work, room)
            if failure is None:
                return
            errors.write_text(str(failure), encoding="utf-8")
            if left:
                yield _line(f"a process died ({errors} says why): on from the last checkpoint")
        raise StoreError(
            f"training ended: its processes died {self.retries + 1} times; {errors} says why"
        )

    def _needs(self, count: int) -> dict[str, float]:
        """Return what each of `count` processes needs."""
        import ray

        there = ray.cluster_resources()
        cpus = min(self.cpus, there.get("CPU", 1) / count) if self.own else self.cpus
        return {"CPU": cpus or _A_LITTLE, **({"GPU": self.gpus} if self.gpus else {})}

    def _set_since(self) -> dict[str, str]:
        """Return the variables that the job has set: what trackers read, but no key."""
        return {
            name: value for name, value in os.environ.items() if self.environment.get(name) != value
        }


def _line(text: str) -> str:
    return json.dumps({"line": f"training on ray: {text}"})


@dataclass(frozen=True)
class _Room:
    """Needs of a group of processes, and how long to wait for a cluster to grow to them."""

    needs: Mapping[str, float]
    count: int
    patience: float

    def lack(self, since: float) -> str:
        """Return what is missing, "" where all find room once others have ended.

        Raises:
            UserError: something is, and has been for too long.
        """
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        most = (min(one.get(k, 0) // need for k, need in self.needs.items()) for one in nodes)
        room = int(sum(most))
        if room >= self.count:
            return ""
        lack = f"{self.count} processes need {words(self.needs)} each; there is room for {room}"
        if time.monotonic() - since >= self.patience:
            raise UserError(
                f"executor ray: {lack}; lower `train.processes`, change `cpus`, `gpus` or `stages`"
                " of the executor, or add nodes"
            )
        return f"{lack}; waits {self.patience:.0f} s for more nodes"


def _release(errors: Path) -> None:
    """Free what the group of a job that died holds.

    Its processes ended with the job. Ray Train's own help for this asks Ray's dashboard, which not
    every cluster has; without it Ray frees cores and GPUs at the end of the run.
    """
    held = errors.read_text("utf-8") if errors.exists() else ""
    if held.startswith(_HELD):
        import ray
        from ray.util.placement_group import PlacementGroup, remove_placement_group

        id = ray.PlacementGroupID(bytes.fromhex(held.removeprefix(_HELD)))
        remove_placement_group(PlacementGroup(id))


def _run(work: dict[str, Any], room: _Room) -> Generator[str, None, BaseException | None]:
    """Yield what the processes of one group tell; return why they failed, if they did.

    Raises:
        UserError: the cluster is too small.
    """
    import ray
    from ray.util.queue import Empty, Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    began, begun = time.monotonic(), False
    if lack := room.lack(began):
        yield _line(lack)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    lines = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    group = _fit({**work, "tell": lines.put}, room)
    try:
        while not group.done() or not lines.empty():
            try:
                line = lines.get(timeout=LOOK_S)
            except Empty:
                if not begun:
                    room.lack(began)
                continue
            begun = True
            yield line
    finally:
        # Like a pipe that breaks: processes end at their next line, the first of those that have
        # not begun, and so does the group.
        lines.shutdown(force=True)
        if begun:  # they still write to the folder
            wait([group], timeout=GRACE_S)
    return group.exception()


def _fit(work: dict[str, Any], room: _Room) -> Future[None]:
    """Have Ray Train run the group; return what will say how it ended."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    needs, ended = dict(room.needs), Future[None]()
    scaling = ScalingConfig(
        num_workers=room.count, use_gpu="GPU" in needs, resources_per_worker=needs
    )

    def fit() -> None:
        try:
            # Nothing is reported to Ray Train, so that no other node looks at its folder.
            with tempfile.TemporaryDirectory(prefix="cotdistill-") as folder:
                run = RunConfig(name="training", storage_path=folder)
                TorchTrainer(
                    _process, train_loop_config=work, scaling_config=scaling, run_config=run
                ).fit()
        except BaseException as error:  # noqa: BLE001 - of whatever kind, it is handed on
            ended.set_exception(error)
        else:
            ended.set_result(None)

    # In the main thread Ray Train would take Ctrl-C for itself. Nobody waits for a daemon whose
    # group never finds room.
    threading.Thread(target=fit, daemon=True).start()
    return ended


# In a worker.


def _process(work: dict[str, Any]) -> None:
    """Be one process of the group: Ray Train has set it up, and torch's variables."""
    from ray.util import get_current_placement_group

    work["tell"](json.dumps({"begun": True}))
    try:
        enter(work["caller"])
    except UserError as error:
        work["tell"](json.dumps({"error": str(error)}))
        raise
    work["errors"].write_text(f"{_HELD}{get_current_placement_group().id.hex()}", "utf-8")
    os.environ.update(work["environment"])
    work["main"](work["description"], work["tell"])

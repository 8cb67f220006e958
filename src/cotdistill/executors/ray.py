"""Jobs on a Ray cluster, or on one that is started here for the run: `executor: ray`.

    executor: {name: ray, workers: 8, address: "10.0.0.1:6379", stages: {train: {gpus: 1}}}

Generate and infer are shared out by question into `shards` tasks, curate and train are a task for
each cell of the grid; `workers` tasks are at work at a time. A task whose worker or node dies is
started again elsewhere and goes on from its completion log and markers. One actor (`model.keeper`)
holds the limits of each endpoint, the budget and the progress for all. The run folder has to be on
a file system that all nodes see, under the same path. Needs the extra `ray`.
"""

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from cotdistill import __version__
from cotdistill.contracts import Executor, Job, TrainSettings
from cotdistill.errors import (
    CotdistillError,
    MissingExtra,
    QuestionFailed,
    StoreError,
    TeacherError,
    UserError,
)
from cotdistill.executors._cluster import LOOK_S, Caller, Node, enter, host_of, reason, stop
from cotdistill.executors._ray_train import RayTrain
from cotdistill.model.keeper import Keeper
from cotdistill.util.launching import LAUNCHER

START_S = 300.0
"""Seconds for a first process on this node to start."""
TERMINATED = 128 + signal.SIGTERM
"""Exit status of a process that was told to end."""
STORE_BYTES = 200 * 2**20
"""Object store of a cluster started here: tasks pass a few lines of text."""


class Resources(BaseModel):
    """Needs of a task: processor cores and graphics cards, or shares of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: float = Field(1.0, ge=0)
    gpus: float = Field(0.0, ge=0)


class Ray(Executor):
    """On a Ray cluster (extra `ray`): one given by `address`, or one started for the run."""

    address: str | None = None
    workers: int = Field(4, ge=1)
    shards: int | None = Field(None, ge=1)
    """Parts of generate and infer; as many as workers by default."""
    cpus: float = Field(1.0, ge=0)
    gpus: float = Field(0.0, ge=0)
    stages: Mapping[str, Resources] = {}
    """Other needs of single stages."""
    retries: int = Field(3, ge=0)
    """How often a task may be started again after its worker or node died."""

    _keeper: Any = PrivateAttr(None)
    _started: bool = PrivateAttr(False)

    def run(self, jobs: Iterable[Job]) -> None:
        todo = [job for job in jobs if not job.finished]
        shared = [(job, job.shares(self.shards or self.workers)) for job in todo]
        away = [pair for pair in shared if pair[1]]
        for job, shares in shared:
            if not shares:
                job()
        if away:
            self._connect(away[0][0])
            self._work([share for _, shares in away for share in shares])
            for job, shares in away:
                job.gather(shares)

    def check(self, settings: TrainSettings) -> None:
        gpus = self._resources("train").gpus
        if settings.processes != 1 and gpus not in (0, 1):
            raise UserError(
                f"executor ray: stages.train.gpus: {gpus:g} is what each process of a training"
                f" gets (`train.processes: {settings.processes}`), and a process trains on one"
                " GPU: set it to 1, and `processes` to the number of GPUs or auto"
            )

    def close(self) -> None:
        if self._keeper is None:
            return
        ray = _ray()
        with contextlib.suppress(Exception):  # a cluster that is gone already
            ray.kill(self._keeper)
        if self._started:
            ray.shutdown()
        self._keeper, self._started = None, False

    def _connect(self, job: Job) -> None:
        """Find or start the cluster, and the keeper on this very node."""
        ray = _ray()
        if not ray.is_initialized():
            self._start(ray)
        if self._keeper is None:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), False)
            actor = ray.remote(Keeper)
            options = actor.options(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here)
            self._keeper = options.remote(*job.spending())
            try:
                ray.get(self._keeper.call.remote("read"), timeout=START_S)
            except ray.exceptions.RayError as error:
                raise UserError(
                    f"executor ray: this node of the cluster starts no process of this package"
                    f" ({reason(error)}); the same packages have to be on all nodes"
                ) from error

    def _start(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "configure_logging": False}
        needs = [self._resources(stage).cpus for stage in ("", *self.stages)]
        try:
            if self.address is not None:
                _refuse_silence(self.address)
                ray.init(address=self.address, **quiet)
            else:
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                cores = max(1, round(self.workers * max(needs) + 0.5))
                settings = {"num_cpus": cores, "object_store_memory": STORE_BYTES}
                # "local": not one that happens to run on this machine, or that RAY_ADDRESS names.
                ray.init("local", include_dashboard=False, **settings, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = self.address or "a cluster on this machine"
            raise UserError(
                f"executor ray: {where} cannot be used: {reason(error)}; its nodes need the same"
                " versions of Ray and Python, and RAY_AUTH_MODE=token here if it asks for a token"
            ) from error
        self._started = True
        if threading.current_thread() is threading.main_thread():
            # Ray's own handler aborts the process and prints its stack.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))

    def _resources(self, stage: str) -> Resources:
        return self.stages.get(stage) or Resources(cpus=self.cpus, gpus=self.gpus)

    def _work(self, shares: Sequence[Job]) -> None:
        """Have all shares done, `workers` places at a time; stop all where one fails."""
        groups: dict[str, list[Job]] = {}
        for share in shares:
            groups.setdefault(share.place, []).append(share)
        ray, waiting = _ray(), list(groups.values())
        running: dict[Any, str] = {}
        stage, progress = shares[0].stage, shares[0].progress
        needs = self._resources(stage)
        wanted = {"CPU": needs.cpus, "GPU": needs.gpus}
        node = Node(wanted, stage, grows=self.address is not None)
        with _explained(ray), progress.task(f"{stage} on ray", len(groups)) as advance:
            try:
                while waiting or running:
                    while waiting and len(running) < self.workers:
                        group = waiting.pop(0)
                        together = min(self.workers, len(groups))
                        running[self._submit(ray, group, together)] = group[0].key
                    node.look(ray, progress)
                    done, _ = ray.wait(list(running), timeout=LOOK_S)
                    for task in done:
                        _refuse_failure(ray, task, running.pop(task))
                    self._show(ray, stage, progress, advance, len(done))
            except BaseException as error:
                with contextlib.suppress(ray.exceptions.RayError):  # what failed first is said
                    stop(ray, running, self._keeper)
                if isinstance(error, SystemExit):  # out of a call of Ray it has Ray's own status
                    sys.exit(TERMINATED)
                raise

    def _submit(self, ray: Any, group: Sequence[Job], together: int) -> Any:
        needs, spread = self._resources(group[0].stage), None
        if group[0].processes != 1:
            # Its processes have what it needs; if it held a core, they might wait for that one.
            gpus = needs.gpus
            if group[0].processes == "auto" and ray.cluster_resources().get("GPU"):
                gpus = 1.0
            room = {"cpus": needs.cpus, "gpus": gpus, "own": self.address is None}
            spread = {**room, "retries": self.retries, "together": together}
            needs = Resources(cpus=0)
        task = ray.remote(_do).options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            max_retries=self.retries,
            name=f"cotdistill {group[0].key}",
        )
        calls = [job.__reduce__() for job in group]
        caller = Caller(__version__, socket.gethostname(), str(Path.cwd()))
        return task.remote(calls, self._keeper, caller, spread)

    def _show(
        self, ray: Any, stage: str, progress: Any, advance: Callable[..., None], tasks: int
    ) -> None:
        done, lines, _ = ray.get(self._keeper.call.remote("read"))
        for line in lines:
            progress.log(line)
        count = sum(number for label, number in done.items() if label.startswith(stage))
        waits = "" if done.get(f"begun: {stage}") else "no worker has begun yet"
        advance(tasks, f"{count:,} done by the workers" if count else waits)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("executor ray needs: pip install 'cotdistill[ray]'") from error
    return ray


def _refuse_silence(address: str) -> None:
    """Notice an address where nobody listens: Ray itself would try for minutes.

    Raises:
        UserError: there is no connection.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):  # "auto" and names of other kinds are Ray's business
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"executor ray: no cluster at {address} ({error}); start one with `ray start --head`, "
            "or leave out `address` to have one started here"
        ) from error


@contextmanager
def _explained(ray: Any) -> Iterator[None]:
    """Say in a line that the cluster is gone.

    Raises:
        StoreError: it is: the head node died, or the one this process is on.
    """
    try:
        yield
    except ray.exceptions.RayError as error:
        raise StoreError(
            f"executor ray: the cluster is gone ({reason(error)}); what was finished is kept:"
            " start the cluster again and run again"
        ) from error


def _refuse_failure(ray: Any, task: Any, key: str) -> None:
    """Raise what a task failed of.

    Raises:
        UserError: a node lacks a package.
        CotdistillError: its own error, or a StoreError where its workers kept dying.
    """
    try:
        failure = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if cause is not None and not isinstance(cause, ray.exceptions.RayError | ImportError):
            raise cause from None
        # Where a worker cannot even read its task, Ray's error is the cause.
        raise UserError(
            f"executor ray: node {host_of(error)} cannot do {key} ({reason(error)}); the same"
            " packages have to be on all nodes"
        ) from error
    except ray.exceptions.RayError as error:
        raise StoreError(
            f"executor ray: the workers of {key} died ({reason(error)}); what they did is kept:"
            " run again, with fewer `workers` if memory was short"
        ) from error
    if failure is not None:
        kind, message = failure
        raise kind(message)


# In a worker.


def _do(
    calls: Sequence[Any], keeper: Any, caller: Caller, spread: Mapping[str, Any] | None
) -> tuple[type[CotdistillError], str] | None:
    """Do jobs one after the other; return the kind and words of an error of ours.

    `spread` is what the processes of a training on several need.
    """
    from ray.exceptions import RayTaskError

    worker = secrets.token_hex(8)

    async def ask(name: str, *arguments: Any) -> Any:
        try:
            return await keeper.call.remote(name, *arguments)
        except RayTaskError as error:
            raise (error.cause or error) from None

    reporter = _Reporter(keeper)
    LAUNCHER.set(RayTrain(caller=caller, **spread) if spread is not None else None)
    try:
        enter(caller)
        with reporter.warnings():
            for make, parts in calls:
                job = make(*parts)
                keeper.call.remote("advance", f"begun: {job.stage}", 1)
                job.inside(worker, ask, reporter)
                job()
    except CotdistillError as error:
        kind = TeacherError if isinstance(error, QuestionFailed) else type(error)
        here = socket.gethostname()
        return kind, f"{error}{'' if here == caller.host else f' (on node {here})'}"
    return None


class _Reporter(logging.Handler):
    """A worker's progress and warnings, told to the keeper now and then."""

    def __init__(self, keeper: Any) -> None:
        super().__init__(logging.WARNING)
        self._keeper = keeper

    @contextmanager
    def task(self, description: str, total: int | None) -> Iterator[Callable[..., None]]:
        waiting, told_at = 0, time.monotonic()

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal waiting, told_at
            waiting += count
            if time.monotonic() - told_at > LOOK_S:
                self._keeper.call.remote("advance", description, waiting)
                waiting, told_at = 0, time.monotonic()

        yield advance
        self._keeper.call.remote("advance", description, waiting)

    def log(self, line: str) -> None:
        self._keeper.call.remote("log", line)

    def show(self, table: Any) -> None:
        """Show nothing: tables are for the caller's terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        self.log(record.getMessage())

    @contextmanager
    def warnings(self) -> Iterator[None]:
        """Pass on what this package warns of."""
        log = logging.getLogger("cotdistill")
        log.addHandler(self)
        try:
            yield
        finally:
            log.removeHandler(self)

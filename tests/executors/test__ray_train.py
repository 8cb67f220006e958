"""Processes of a training on Ray: what they need, how many, and what happens where they die."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cotdistill import __version__
from cotdistill.contracts import Executor, TrainSettings
from cotdistill.errors import StoreError, UserError
from cotdistill.executors import _ray_train
from cotdistill.executors._cluster import Caller
from cotdistill.executors._ray_train import RayTrain
from cotdistill.plugins import build
from cotdistill.students._processes import count_processes
from cotdistill.util.launching import LAUNCHER

CALLER = Caller(__version__, "here", "")
NEEDS: dict[str, Any] = {
    "caller": CALLER,
    "cpus": 2.0,
    "gpus": 0.0,
    "retries": 1,
    "together": 1,
    "own": False,
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes of three cores and five GPUs; a third is gone."""
    node = {"Alive": True, "Resources": {"CPU": 3.0, "GPU": 5.0}}
    nodes = [node, node, {**node, "Alive": False}]
    ray = SimpleNamespace(nodes=lambda: nodes, cluster_resources=lambda: {"CPU": 6.0, "GPU": 10.0})
    monkeypatch.setitem(sys.modules, "ray", ray)


@pytest.mark.usefixtures("cluster")
def test_auto_is_an_even_share_of_the_gpus() -> None:
    settings = TrainSettings(processes="auto", selection="last", batch_size=8)
    for together, count in ((1, 8), (3, 3), (20, 1)):  # each has an example of a batch
        token = LAUNCHER.set(RayTrain(**{**NEEDS, "together": together}))
        assert count_processes(settings) == count
        LAUNCHER.reset(token)


@pytest.mark.usefixtures("cluster")
def test_cores_are_shared_only_in_a_cluster_of_the_run() -> None:
    given, own = RayTrain(**NEEDS), RayTrain(**{**NEEDS, "own": True, "gpus": 1.0})
    assert given._needs(12) == {"CPU": 2.0}
    assert own._needs(12) == {"CPU": 0.5, "GPU": 1.0} and own._needs(2)["CPU"] == 2.0
    assert RayTrain(**{**NEEDS, "cpus": 0.0})._needs(2)["CPU"] > 0


@pytest.mark.usefixtures("cluster")
def test_a_group_that_is_too_large_waits_for_more_nodes_or_is_refused() -> None:
    needs = {"CPU": 2.0}
    assert _ray_train._Room(needs, 2, 0.0).lack(0.0) == ""
    waits = r"3 processes need 2 CPU each; there is room for 2; waits \d+ s"
    assert re.match(waits, _ray_train._Room(needs, 3, 1e9).lack(0.0))
    with pytest.raises(UserError, match=r"room for 10; lower `train\.processes`, change `cpus`"):
        _ray_train._Room({"CPU": 0.1, "GPU": 1.0}, 11, 0.0).lack(0.0)


@pytest.mark.usefixtures("cluster")
def test_a_group_is_started_again_until_it_has_died_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Any] = [OSError("lost"), None]

    def group(*_: Any) -> Generator[str, None, Any]:
        yield json.dumps({"steps": 1})
        return failures.pop(0)

    monkeypatch.setattr(_ray_train, "_run", group)

    freed: list[Path] = []
    monkeypatch.setattr(_ray_train, "_release", freed.append)
    log, lines = tmp_path / "log", list[Any]()

    def start() -> None:
        main: Any = print
        for told in RayTrain(**NEEDS).start(main, tmp_path, 2, log):
            lines.extend(json.loads(told).values())

    start()
    again = f"training on ray: a process died ({log} says why): on from the last checkpoint"
    assert lines == [1, again, 1] and freed == [log]
    failures += [OSError("lost"), OSError("lost again")]
    with pytest.raises(StoreError, match=r"its processes died 2 times; .*log says why"):
        start()
    assert lines[3:] == [1, again, 1] and log.read_text() == "lost again"


def test_what_the_group_of_a_dead_job_holds_is_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Any] = []
    groups = SimpleNamespace(PlacementGroup=str, remove_placement_group=removed.append)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(PlacementGroupID=bytes.hex))
    monkeypatch.setitem(sys.modules, "ray.util", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ray.util.placement_group", groups)
    for written in (None, "a traceback", "placement group beef01"):
        if written is not None:
            (tmp_path / "log").write_text(written)
        _ray_train._release(tmp_path / "log")
    assert removed == ["beef01"]


def test_processes_have_the_variables_that_the_job_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    launcher = RayTrain(**NEEDS)
    monkeypatch.setenv("WANDB_NAME", "a training")
    assert launcher._set_since() == {"WANDB_NAME": "a training"}


def test_a_node_without_the_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    caller = CALLER._replace(folder=str(tmp_path / "absent"))
    monkeypatch.setitem(sys.modules, "ray.util", SimpleNamespace(get_current_placement_group=None))
    with pytest.raises(UserError, match="shared file system"):
        _ray_train._process({"caller": caller, "tell": told.append})
    assert "has no folder" in json.loads(told[-1])["error"]


def test_gpus_are_those_of_a_process() -> None:
    ray = build("executors", {"name": "ray", "stages": {"train": {"gpus": 8}}}, Executor)
    with pytest.raises(UserError, match=r"gpus: 8 is what each process.*trains on one GPU: set it"):
        ray.check(TrainSettings(processes=8, selection="last"))
    ray.check(TrainSettings())
    build("executors", {"name": "ray", "gpus": 1}, Executor).check(
        TrainSettings(processes=8, selection="last")
    )

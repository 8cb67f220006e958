"""The run of a recipe on Ray is that of one process, also where a worker dies half way."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file

from cotdistill import __version__
from cotdistill.errors import FatalTeacherError, MissingExtra, StoreError, UserError
from cotdistill.executors._cluster import Caller, enter
from cotdistill.executors.ray import Ray, _explained, _refuse_failure
from cotdistill.pipeline import run_recipe
from cotdistill.plugins import build
from cotdistill.recipe import parse_recipe
from cotdistill.runs.run import Run
from cotdistill.stages import generate
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json
from cotdistill.util.progress import SilentProgress

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own

TEACHER = '''
    """A teacher whose first worker dies after some replies, as if its node had gone."""
    import os
    from pathlib import Path
    from cotdistill.contracts import Teacher
    from cotdistill.errors import FatalTeacherError
    from cotdistill.records import Completion

    class Mortal(Teacher):
        folder: str
        fatal: bool = False

        def open(self):
            return Live(self)

    class Live:
        def __init__(self, settings):
            self.settings, self.asked = settings, 0

        def identity(self):
            return {"teacher": "mortal"}

        async def complete(self, request, indices):
            self.asked += 1
            died = Path(self.settings.folder) / "died"
            with (Path(self.settings.folder) / "asked").open("a") as file:
                file.write(request.prompt.replace(chr(10), " ")[:40] + chr(10))
            if self.settings.fatal:
                raise FatalTeacherError("no key")
            if self.asked == 8 and not died.exists():
                died.touch()
                os._exit(1)
            return [Completion(f" {request.prompt[:9]!r}. The answer is 7.", i) for i in indices]

        async def close(self):
            pass
'''

OBJECTIVE = '''
    """An objective that notes each process's node, and whose second process dies once."""
    import os
    import ray
    from pathlib import Path
    from cotdistill.objectives.cross_entropy import CrossEntropy

    class Forgetful(CrossEntropy):
        folder: str

        def loss(self, batch):
            rank, died = os.environ.get("RANK", "alone"), Path(self.folder) / "died"
            node = ray.get_runtime_context().get_node_id()
            with (Path(self.folder) / f"rank-{rank}").open("a") as file:
                print(node, file=file)
            steps = (Path(self.folder) / f"rank-{rank}").read_text().count(chr(10))
            if rank == "1" and steps == 6 and not died.exists():
                died.touch()
                os._exit(1)
            return super().loss(batch)
'''


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes of one core each."""
    found = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("plug-in")
    (folder / "mortal.py").write_text(textwrap.dedent(TEACHER))
    (folder / "forgetful.py").write_text(textwrap.dedent(OBJECTIVE))
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(folder), prepend=":")
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_worker_niceness", "0")  # 15 by default: they would wait for everything else
    patch.syspath_prepend(str(folder))
    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**node)
    found.init(address=cluster.address, log_to_driver=False)
    yield found
    found.shutdown()
    cluster.shutdown()
    with warnings.catch_warnings():  # Ray leaves handles of ended processes to the collector
        warnings.simplefilter("ignore")
        gc.collect()
    patch.undo()


def recipe(tmp_path: Path, name: str, **changes: Any) -> dict[str, Any]:
    rows = [{"question": f"{n} + 1?", "answer": "7"} for n in range(40)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": name,
        "output": str(tmp_path),
        "task": {
            "name": "custom",
            "path": str(tmp_path / "q.jsonl"),
            "answer": "number",
            "label": "t",
        },
        "teacher": {"name": "mortal:Mortal", "folder": str(tmp_path), "label": "mortal"},
        "methods": [{"name": "fine_tune_cot", "label": "cot"}],
        "max_concurrency": 4,
        "pilot": 0,
        "executor": {"name": "ray", "workers": 2, "shards": 3},
        **changes,
    }


def test_a_worker_that_dies_is_replaced_and_nothing_that_arrived_is_lost(
    ray: Any, tmp_path: Path
) -> None:
    stages = ["generate", "curate"]
    there = run_recipe(parse_recipe(recipe(tmp_path, "there")), stages=stages)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert (tmp_path / "died").exists()
    here = run_recipe(parse_recipe(recipe(tmp_path, "here", executor="local")), stages=stages)
    once = (tmp_path / "asked").read_text().splitlines()[len(asked) :]
    for name in ("generate/rationales.jsonl", "curate/kept.jsonl"):
        assert (there.folder / "t/cot" / name).read_bytes() == (
            here.folder / "t/cot" / name
        ).read_bytes()
    assert len(once) <= len(asked) <= len(once) + 4  # what the dead worker had under way
    assert read_json(there.folder / "t/cot/generate/done.json")["metadata"]["questions"] == 28
    # An error of ours is ours here too.
    broken = recipe(tmp_path, "broken")
    broken["teacher"]["fatal"] = True
    with pytest.raises(FatalTeacherError, match="no key"):
        run_recipe(parse_recipe(broken), stages=stages)


def test_a_training_on_both_nodes_of_which_a_process_dies_learns_what_one_process_learns(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_checkpoint(tmp_path / "base", "llama")
    stages, losses, weights, files = ["generate", "curate", "train"], [], [], []
    lines: list[str] = []
    monkeypatch.setattr(SilentProgress, "log", lambda _, line: lines.append(line))
    for name, processes, strategy in (("here", 1, "ddp"), ("there", 2, "fsdp")):
        changes = recipe(tmp_path, name, student=str(base), methods=["answer_only"])
        changes["train"] = {
            "epochs": 2,
            "batch_size": 4,
            "learning_rate": 1e-2,
            "selection": "last",
            "save_minutes": 1e-9,
            "objective": {"name": "forgetful:Forgetful", "folder": str(tmp_path)},
            "processes": processes,
            "strategy": strategy,
        }
        if name == "here":
            changes["executor"] = "local"
        folder = run_recipe(parse_recipe(changes), stages=stages).folder
        (made,) = folder.rglob("training.json")
        losses.append([one["loss"] for one in read_json(made)["history"] if "loss" in one])
        weights.append(load_file(made.with_name("model.safetensors")))
        files.append({str(path.relative_to(folder)) for path in made.parents[1].rglob("*")})
    assert (tmp_path / "died").exists()
    first, second = ((tmp_path / f"rank-{rank}").read_text().split() for rank in (0, 1))
    assert first[0] != second[0] and first[-1] != second[-1]  # before and after the death
    assert sum("a process died" in line and "last checkpoint" in line for line in lines) == 1
    assert len(losses[0]) == 14 and losses[1] == pytest.approx(losses[0], abs=1e-3)
    for key, value in weights[0].items():
        assert float((weights[1][key] - value).abs().mean()) < 2e-4, key
    assert files[0] == files[1]  # nothing is left of the group


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from cotdistill.executors.ray import _refuse_silence

    with pytest.raises(UserError, match=r"no cluster at 127.0.0.1:1 .*ray start --head"):
        _refuse_silence("127.0.0.1:1")
    _refuse_silence("auto")


def test_a_cluster_that_is_gone_is_one_line() -> None:
    class RayError(Exception):
        pass

    ray = SimpleNamespace(exceptions=SimpleNamespace(RayError=RayError))
    gone = pytest.raises(StoreError, match=r"the cluster is gone \(no actor\).*run again")
    with gone, _explained(ray):
        raise RayError("no actor\nmore")


def test_an_error_of_a_worker_is_its_own_or_says_what_its_node_lacks() -> None:
    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        cause: Exception | None = None

    def get(error: Exception) -> None:
        raise error

    ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError), get=get
    )
    failed = RayTaskError("ray::_do() (pid=7, ip=10.0.0.5)\nTraceback …\nNo module named 'torch'")
    lacks = r"node 10\.0\.0\.5 cannot do t/cot \(No module named 'torch'\); the same packages"
    for cause in (None, RayError("no module"), ModuleNotFoundError("torch")):
        failed.cause = cause
        with pytest.raises(UserError, match=lacks):
            _refuse_failure(ray, failed, "t/cot")
    failed.cause = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        _refuse_failure(ray, failed, "t/cot")
    with pytest.raises(StoreError, match=r"workers of t/cot died \(killed\).*run again"):
        _refuse_failure(ray, RayError("killed\nmore"), "t/cot")


def test_a_node_of_another_version_or_without_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"node .* has cotdistill .*, the caller 0\.0\.0"):
        enter(Caller("0.0.0", "here", str(tmp_path)))
    with pytest.raises(UserError, match=r"node .* has no folder .*gone; .*shared file system"):
        enter(Caller(__version__, "here", str(tmp_path / "gone")))


def test_a_job_that_would_be_made_from_other_things_is_refused(tmp_path: Path) -> None:
    teacher = {"name": "scripted", "replies": "7"}
    run = Run(parse_recipe(recipe(tmp_path, "one", teacher=teacher)))
    (job,) = generate.jobs(run)
    share = job.shares(2)[1]
    find, parts = share.__reduce__()
    assert find(*parts).key == share.key
    with (tmp_path / "q.jsonl").open("a") as file:
        file.write('{"question": "40 + 1?", "answer": "7"}\n')
    with pytest.raises(UserError, match=r"t/cot/generate: node .* has other data, checkpoints or"):
        find(*parts)


def test_a_cluster_for_the_run_is_not_one_that_happens_to_be_there() -> None:
    asked: list[Any] = []
    ray = SimpleNamespace(init=lambda *address, **_: asked.append(address))
    Ray()._start(ray)
    assert asked == [("local",)]


def test_a_process_that_is_told_to_end_says_so_by_its_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wait(tasks: list[str], timeout: float) -> Any:
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit:
            sys.exit(1)  # as Ray's calls do

    before = signal.getsignal(signal.SIGTERM)
    node = {"Alive": True, "Resources": {"CPU": 1.0}}
    ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayError=RuntimeError),
        init=lambda *_, **__: signal.signal(signal.SIGTERM, lambda *_: os.abort()),
        nodes=lambda: [node],
        wait=wait,
    )
    stopped: list[list[str]] = []
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(Ray, "_submit", lambda *_: "task")
    monkeypatch.setattr(
        "cotdistill.executors.ray.stop", lambda ray, tasks, keeper: stopped.append(list(tasks))
    )
    job: Any = SimpleNamespace(place="", key="", stage="train", progress=SilentProgress())
    executor = Ray()
    try:
        executor._start(ray)
        with pytest.raises(SystemExit) as ended:
            executor._work([job])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143
    assert stopped == [["task"]]


def test_without_ray_one_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    teacher = {"name": "scripted", "replies": "7"}
    with pytest.raises(MissingExtra, match=r"pip install 'cotdistill\[ray\]'"):
        run_recipe(parse_recipe(recipe(tmp_path, "bare", teacher=teacher)), stages=["generate"])


def test_settings_that_are_wrong_are_refused() -> None:
    from cotdistill.contracts import Executor

    with pytest.raises(UserError, match="executors ray: workers"):
        build("executors", {"name": "ray", "workers": 0}, Executor)
    with pytest.raises(UserError, match=r"unknown setting 'stages\.train\.gpu'"):
        build("executors", {"name": "ray", "stages": {"train": {"gpu": 1}}}, Executor)

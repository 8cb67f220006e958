"""Where jobs run changes nothing: in this process, or each in one that has only its pickle."""

from __future__ import annotations

import copy
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.contracts import Executor, Job
from cotdistill.pipeline import STAGES, run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.runs.run import Run
from cotdistill.runs.shards import Shard
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json
from tests import forked


class Elsewhere(Executor):
    """Do each job in a fresh process that gets nothing of this one but the job's pickle."""

    def run(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            forked.call(job)


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    rows = [{"question": f"{n} + 1?", "answer": "7"} for n in range(30)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": "here",
        "output": str(tmp_path),
        "task": {
            "name": "custom",
            "path": str(tmp_path / "questions.jsonl"),
            "answer": "number",
            "label": "sums",
        },
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": {"model": str(tiny_checkpoint(tmp_path / "base", "gpt2")), "label": "tiny"},
        "methods": [{"name": "fine_tune_cot", "student_max_tokens": 8, "label": "cot"}],
        "limit": {"train": 6, "validation": 2, "test": 4},
        "train": {"epochs": 2, "batch_size": 3},
    }


def test_jobs_run_from_their_pickled_form(recipe: dict[str, Any]) -> None:
    here = run_recipe(parse_recipe(recipe))
    elsewhere = {**recipe, "name": "there", "executor": f"{__name__}:Elsewhere"}
    there = run_recipe(parse_recipe(elsewhere))
    assert read_json(there.folder / "scores.json") == read_json(here.folder / "scores.json")
    assert (there.folder / "report.html").exists()
    assert there.ledger.to_json()["roles"] == {}  # this process asked nobody
    again = [job for stage in STAGES.values() for job in stage(there)]
    assert [job.key for job in again if job.stage == "infer"] == [
        "sums/cot/tiny/seed-0/infer/test-greedy"
    ]
    before = (there.folder / again[0].key / "done.json").stat().st_mtime_ns
    copy.copy(again[0])()  # made again of its pickled form
    assert (there.folder / again[0].key / "done.json").stat().st_mtime_ns == before


def test_jobs_are_made_of_recipe_stage_and_key(recipe: dict[str, Any]) -> None:
    run = Run(parse_recipe(recipe))
    jobs = [job for stage in STAGES.values() for job in stage(run)]
    assert [job.stage for job in jobs][:4] == ["generate", "curate", "train", "infer"]
    for job in jobs:
        _, parts = job.__reduce__()  # type: ignore[misc]
        assert all(isinstance(part, str) for part in parts)
        other = copy.copy(job)
        assert (other.stage, other.key) == (job.stage, job.key)


SHARED_OUT = '''
    """Shares of jobs as other processes would have them: from their pickled form."""
    import pickle
    from cotdistill.contracts import Executor
    from cotdistill.model.keeper import Keeper
    from cotdistill.util.progress import SilentProgress

    class Parts(Executor):
        """Three shares of each job."""

        def run(self, jobs):
            for job in [job for job in jobs if not job.finished]:
                shares = job.shares(3)
                for number, share in enumerate(shares):
                    keeper = Keeper(*job.spending())  # it lives in one event loop
                    there = pickle.loads(pickle.dumps(share))
                    there.inside(f"worker {number}", keeper.call, SilentProgress())
                    there()
                job.gather(shares) if shares else job()
'''


def test_jobs_shared_out_give_what_one_process_gives(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parts.py").write_text(textwrap.dedent(SHARED_OUT))
    monkeypatch.syspath_prepend(str(tmp_path))
    here = run_recipe(parse_recipe(recipe))
    there = {**recipe, "name": "there", "executor": "parts:Parts", "budget": {"tokens": 10**6}}
    shared = run_recipe(parse_recipe(there))
    assert shared.scores() == here.scores()
    for name in ("generate/rationales.jsonl", "curate/kept.jsonl"):
        place = Path("sums/cot") / name
        assert (shared.folder / place).read_bytes() == (here.folder / place).read_bytes()
    assert list((shared.folder / "shards~").iterdir()) == []
    asked = [read_json(one.folder / "ledger.json")["tokens"] for one in (here, shared)]
    assert asked[0] == asked[1] > 0


def test_what_a_killed_shard_paid_for_is_not_paid_again(recipe: dict[str, Any]) -> None:
    run_recipe(parse_recipe(recipe), stages=["generate"], shard=Shard(1, 2))
    run = run_recipe(parse_recipe(recipe), stages=["generate"])  # the other one never came
    paid = run.ledger.total.roles["teacher"]
    # The same replies to the same six prompts: those of the shard came from its log.
    assert paid.from_log > 0 and run.ledger.roles["teacher"].completions < paid.completions

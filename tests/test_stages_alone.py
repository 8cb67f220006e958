"""Stages called alone take nothing of another recipe; transient failures are asked again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import QuestionFailed, UserError
from cotdistill.pipeline import STAGES, run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.records import Completion, Request
from cotdistill.teachers.scripted import _ScriptedModel
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json, read_jsonl
from cotdistill.util.progress import SilentProgress


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    rows = [{"question": f"{n} + 1?", "answer": "7"} for n in range(30)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": "r",
        "output": str(tmp_path),
        "task": {
            "name": "custom",
            "path": str(tmp_path / "questions.jsonl"),
            "answer": "number",
            "label": "sums",
        },
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": {"model": str(tiny_checkpoint(tmp_path / "base", "gpt2")), "label": "tiny"},
        "methods": [
            {"name": "answer_only", "student_max_tokens": 4},
            {"name": "fine_tune_cot", "student_max_tokens": 8, "label": "cot"},
            {"name": "zero_shot_cot", "role": "teacher", "label": "teacher"},
        ],
        "limit": {"train": 6, "validation": 2, "test": 4},
        "train": {"epochs": 1, "batch_size": 3},
    }


def run(recipe: dict[str, Any], *stages: str, **changes: Any) -> Path:
    run_recipe(parse_recipe({**recipe, **changes}), SilentProgress(), stages or None)
    return Path(recipe["output"], "r")


def kept(folder: Path) -> list[str]:
    return [
        row["question_id"] for row in read_jsonl(folder / "sums" / "cot" / "curate" / "kept.jsonl")
    ]


@pytest.mark.parametrize("stage", list(STAGES)[1:])
def test_a_stage_alone_says_which_one_is_missing(recipe: dict[str, Any], stage: str) -> None:
    earlier = list(STAGES)[list(STAGES).index(stage) - 1]
    with pytest.raises(UserError, match=f"run the stage {earlier}( first)?"):
        run(recipe, stage)


OTHER_TEACHER = {"teacher": {"name": "scripted", "replies": " So 7. The answer is 7."}}


def test_a_stage_alone_takes_nothing_made_for_another_recipe(recipe: dict[str, Any]) -> None:
    folder = run(recipe)
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("done.json")}
    longer = {"train": {"epochs": 2, "batch_size": 3}}
    for stage, missing, changes in (
        ("curate", "generate", OTHER_TEACHER),
        ("train", "curate", {"filters": []}),
        ("infer", "train", longer),
        ("evaluate", "infer", longer),
        ("report", "evaluate", {"limit": {"train": 6, "validation": 2, "test": 3}}),
    ):
        with pytest.raises(UserError, match=f"run the stage {missing}"):
            run(recipe, stage, **changes)
    assert made == {path: path.stat().st_mtime_ns for path in folder.rglob("done.json")}


def test_an_outage_is_made_good_by_the_same_command(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = _ScriptedModel.complete

    async def away(
        self: _ScriptedModel, request: Request, sample_indices: Sequence[int]
    ) -> list[Completion]:
        if any(f"{number} + 1?" in str(request.prompt) for number in range(2, 6)):
            raise QuestionFailed("the endpoint is away", "server error", transient=True)
        return await complete(self, request, sample_indices)

    with monkeypatch.context() as outage:
        outage.setattr(_ScriptedModel, "complete", away)
        folder = run(recipe)
    before = read_json(folder / "scores.json")
    assert "questions failed for now and count as wrong" in (folder / "report.md").read_text(
        "utf-8"
    )
    undisturbed = run({**recipe, "output": recipe["output"] + "/undisturbed"})
    assert len(kept(folder)) < len(kept(undisturbed))
    assert (
        read_json(folder / "sums" / "cot" / "generate" / "done.json")["metadata"]["transient"] > 0
    )
    run(recipe)
    assert kept(folder) == kept(undisturbed)
    assert (
        read_json(folder / "sums" / "cot" / "generate" / "done.json")["metadata"]["transient"] == 0
    )
    after, wanted = (read_json(one / "scores.json")["rows"] for one in (folder, undisturbed))
    assert after == wanted
    assert before["rows"] != after


def test_a_damaged_file_of_a_finished_run_is_made_again(recipe: dict[str, Any]) -> None:
    folder = run(recipe)
    scores = (folder / "scores.json").read_bytes()
    for name in (
        "cot/tiny/seed-0/infer/test-greedy/answers.jsonl",
        "cot/curate/done.json",
        "cot/generate/rationales.jsonl",
    ):
        path = folder / "sums" / name
        path.write_text(path.read_text("utf-8")[:-40])
    (folder / "ledger.json").write_text("{}")
    run(recipe)
    assert (folder / "scores.json").read_bytes() == scores

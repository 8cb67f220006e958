"""`cotdistill export`: training sets and Inspect logs of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cotdistill.cli.app import app
from cotdistill.cli.export import _asked
from cotdistill.data import writing
from cotdistill.data.rows import rows
from cotdistill.errors import StoreError, UserError
from cotdistill.records import Question
from cotdistill.util.files import read_jsonl


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def recipe(folder: Path, **entries: Any) -> str:
    rows = [{"question": f"What is {n} plus 1?", "answer": n + 1} for n in range(10)]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = {
        "name": "small",
        "output": str(folder / "runs"),
        "task": {"name": "custom", "path": str(folder / "q.jsonl"), "answer": "number"},
        "teacher": {"name": "scripted", "replies": " The answer is 3."},
        **entries,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "recipe.yaml")


def test_one_inspect_log_for_each_model(tmp_path: Path) -> None:
    path = recipe(tmp_path, methods=[{"name": "zero_shot_cot", "role": "teacher"}])
    with pytest.raises(UserError, match="run the stage infer first"):
        invoke("export", "inspect", path)
    invoke("run", path)
    told = invoke("export", "inspect", path, "--out", str(tmp_path / "logs"))
    assert "wrote 1 logs" in told and "inspect view --log-dir" in told
    (log_path,) = (tmp_path / "logs").glob("*_q_*.json")
    log = json.loads(log_path.read_text())
    assert log["eval"]["task_args"]["method"] == "zero_shot_cot role=teacher"
    assert len(log["samples"]) == log["results"]["total_samples"] == 2


def test_curated_rationales_as_a_training_set(tmp_path: Path) -> None:
    claims = [(n, n + 1 if n % 2 else 99) for n in range(10)]
    replies = {
        f"What is {n} plus 1?": f" {n} and 1 make {claim}. The answer is {claim}."
        for n, claim in claims
    }
    path = recipe(
        tmp_path,
        teacher={"name": "scripted", "replies": replies},
        methods=[
            {"name": "fine_tune_cot", "label": "cot", "answer_call": False},
            {"name": "step_by_step", "shots": 0},
        ],
    )
    with pytest.raises(UserError, match="run the stage curate first"):
        invoke("export", "sft", path)
    for stage in ("generate", "curate"):
        invoke(stage, path)
    run = tmp_path / "runs" / "small"
    told = invoke("export", "sft", str(run), "--format", "prompt-completion", "--license", "mit")
    (folder,) = (run / "sft").rglob("cot")
    rows = list(read_jsonl(folder / "student.jsonl"))
    assert 0 < len(rows) < 7
    for row in rows:
        n = int(row["prompt"].split()[2])
        assert row["prompt"] == f"What is {n} plus 1?\n"
        assert row["completion"].startswith(f"{n} and 1 make {n + 1}.")
        assert row["completion"].endswith(f" --> {n + 1}")
    assert f"wrote {len(rows)} for student to {folder}\n" in told
    assert f"wrote {2 * len(rows)} for student" in told  # step_by_step: label and rationale
    card = (folder / "README.md").read_text()
    assert "license: mit" in card
    assert "**Teacher:** `scripted`" in card
    assert "**Filters:** `answer_match" in card
    assert f"- {7 - len(rows)} × `answer_match: " in card
    assert f"**Rationales:** `{len(rows)} kept of 7`" in card
    assert "**Test questions in the training split:** `the same question 0/2; " in card


def test_rationales_and_training_sets_go_to_an_address_as_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_GROUP", 2)
    replies = {f"What is {n} plus 1?": f" So. The answer is {n + n % 2}." for n in range(10)}
    teacher = {"name": "scripted", "replies": replies}
    methods = [{"name": "fine_tune_cot", "label": label, "answer_call": False} for label in "ab"]
    path = recipe(tmp_path, teacher=teacher, methods=methods)
    with pytest.raises(UserError, match="run the stage curate first"):
        invoke("export", "rationales", path)
    for stage in ("generate", "curate"):
        invoke(stage, path)
    told = invoke("export", "rationales", path)
    file = tmp_path / "runs" / "small" / "rationales" / "rationales.jsonl"
    assert told == f"wrote 14 rationales to {file}\n"
    plain = list(read_jsonl(file))
    there = f"memory://{tmp_path}"
    invoke("export", "rationales", path, "--parquet", "--out", there)
    found = [dict(row.fields) for row in rows(f"{there}/rationales.parquet")]
    assert [{**row, "extra": json.loads(row["extra"])} for row in found] == plain
    assert {(row["method"], row["reason"] is None) for row in plain} == {
        (label, kept) for label in "ab" for kept in (True, False)
    }
    for row in plain:
        n = int(row["question"].split()[2])
        assert (row["gold"], row["answer"]) == (str(n + 1), str(n + n % 2))
        assert row["reason"] == (None if n % 2 else "wrong answer")
    invoke("export", "sft", path, "--parquet", "--out", there)
    kept = [row for row in plain if row["reason"] is None and row["method"] == "a"]
    assert len(list(rows(f"{there}/q/a/student.parquet"))) == len(kept) > 2
    with pytest.raises(StoreError, match="nothing://x: cannot be written: Protocol not known"):
        invoke("export", "rationales", path, "--out", "nothing://x")


@pytest.mark.parametrize("order", [(0, 0, 1, 5, 3, 9), (9, 0, 0, 5), (9, 0, 9, 1)])
def test_rationales_find_their_questions_in_any_order(
    order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cotdistill.cli.export._RECENT", 3)
    questions = [Question(f"q/{n}", f"{n}?", str(n)) for n in range(10)]
    found = list(_asked(lambda: questions, order, lambda n: f"q/{n}"))
    assert found == [(questions[n], n) for n in order]

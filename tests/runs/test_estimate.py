"""The estimate against what the run then used, before and after a probe."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cotdistill.contracts import Price
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.ledger import Spent, Sums
from cotdistill.recipe import Recipe, parse_recipe
from cotdistill.records import Request
from cotdistill.runs.estimate import Estimate, Estimator
from cotdistill.runs.plan import PaidRole, _line
from cotdistill.runs.run import Run
from cotdistill.stages import curate, generate, infer
from cotdistill.stages.probe import probe
from cotdistill.teachers.scripted import Scripted
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.concurrency import run_async

REPLIES = {
    "Therefore, the answer is": " 7.",
    "number 1": " It is short. The answer is 7.",
    "number": " It takes some more words to the end. The answer is 7.",
}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    rows = [{"question": f"What is number {n}?", "answer": "7"} for n in range(100)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "custom", "path": str(tmp_path / "questions.jsonl"), "answer": "number"}
    return parse_recipe(
        {
            "name": "r",
            "output": str(tmp_path),
            "task": {**task, "label": "sums"},
            "teacher": {"name": "scripted", "replies": REPLIES},
            "student": {"model": str(tiny_checkpoint(tmp_path / "base", "gpt2")), "label": "tiny"},
            "methods": [
                {"name": "zero_shot_cot", "role": "teacher", "label": "teacher"},
                "answer_only",
                {"name": "fine_tune_cot", "samples": 2, "temperature": 0.0, "label": "cot"},
            ],
            "train": {"epochs": 1},
        }
    )


def estimate(recipe: Recipe, **settings: Any) -> Estimate:
    return run_async(Estimator(Run(recipe), **settings).estimate())


def spent(recipe: Recipe) -> Spent:
    path = recipe.folder / "completions.sqlite"
    with CompletionLog(path, run=recipe.name, read_only=True) as log:
        return Sums(log.read_counts()).roles["teacher"]


def ask_everything(recipe: Recipe) -> None:
    """Run the stages that ask the teacher."""
    run = Run(recipe)
    for stage in (generate, curate):
        for job in stage.jobs(run):
            job()
    for job in infer.jobs(run):
        if job.about[0].method.label == "teacher":
            job()


def test_completions_are_exact_and_tokens_near_after_a_probe(recipe: Recipe) -> None:
    first = estimate(recipe, measure=False)
    # 70 training questions, 2 samples (each its own call for the answer); 20 test questions.
    assert first.total("completions") == 2 * 2 * 70 + 2 * 20
    assert not (recipe.folder / "completions.sqlite").exists()
    probe(Run(recipe), 20)
    paid = spent(recipe)
    second = estimate(recipe, measure=False)
    assert second.total("cached") >= paid.completions
    ask_everything(recipe)
    used = spent(recipe)
    for name, estimated in (
        ("completions", second.total("completions")),
        ("prompt_tokens", second.total("prompt_tokens")),
        ("completion_tokens", second.total("reply_tokens")),
    ):
        real = asdict(used)[name] - asdict(paid)[name]
        assert estimated == pytest.approx(real, rel=0.2), name
    last = estimate(recipe, measure=False)
    assert last.total("completions") == 0 and "nothing is left to ask" in last.line()


def test_students_are_timed_and_what_is_done_costs_nothing_more(recipe: Recipe) -> None:
    ask_everything(recipe)
    found = estimate(recipe)
    rows = {(row.stage, row.name): row for row in found.rows}
    train = rows["train", "sums · cot · tiny · seed 0"]
    assert train.seconds and train.seconds > 0 and train.bytes > 50_000
    assert rows["infer", "sums · answer_only · tiny · seed 0 · test"].seconds
    assert rows["generate", "sums · cot"].need.completions == 0
    assert rows["generate", "sums · cot"].whole.completions > 0
    assert any("timed here" in line for line in found.sources)


def test_at_scales_training_questions_and_not_the_test_split(recipe: Recipe) -> None:
    found = estimate(recipe, measure=False)
    once, twice = found.at(70), found.at(140)
    assert once["completions"] == 2 * 2 * 70 + 2 * 20
    assert twice["completions"] - once["completions"] == 2 * 2 * 70
    assert twice["bytes"] > once["bytes"]


def test_money_is_prompt_and_reply_times_price_and_unknown_is_said(recipe: Recipe) -> None:
    with CompletionLog() as log:
        role = PaidRole(log, Scripted().open(), role="teacher")
    role.price = Price(2.0, 8.0)
    assert role.dollars(500_000, 250_000) == pytest.approx(1.0 + 2.0)
    assert role.reply_tokens(Request("a", max_tokens=100)) == 50
    settings = {"model": "unheard-of", "base_url": "http://127.0.0.1:9/v1"}
    hosted = recipe.model_dump(mode="json") | {"teacher": {"name": "openai", **settings}}
    found = estimate(parse_recipe(hosted), measure=False)
    assert "price not known" in found.line()
    priced = {**settings, "input_price": 1, "output_price": 2}
    hosted["teacher"] = {"name": "openai", **priced}
    found = estimate(parse_recipe(hosted), measure=False)
    paid = found.total("prompt_tokens") + 2 * found.total("reply_tokens")
    assert found.total("money") == pytest.approx(paid / 1e6)


def test_the_line_through_prompts_of_two_lengths() -> None:
    slope, offset = _line([(100, 30), (200, 55)])
    assert slope == pytest.approx(0.25) and offset == pytest.approx(5)
    assert _line([(100, 30), (100, 30)]) == (pytest.approx(0.3), 0.0)

"""Pairs of right and wrong rationales, from the teacher's replies to a trained student."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from cotdistill.answers.number import Number
from cotdistill.methods.preference import Preference
from cotdistill.model.client import ModelClient
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.records import Example, Question, Rationale
from cotdistill.teachers.scripted import Scripted
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json, read_records

REPLIES = (" 3 + 8 = 11.", " 3 + 8 = 12.", " 8 + 3 = 11.", " 3 + 8 = 13.")


def drawn(question: Question, *replies: str) -> list[Rationale]:
    method = Preference(samples=len(replies), answer_call=False)
    ask = ModelClient({"teacher": Scripted(replies=replies).open()})
    return asyncio.run(method.annotate(question, ask, Number()))


def test_every_right_rationale_carries_a_wrong_one(apples: Question) -> None:
    texts = [one.extra.get("rejected", {}).get("text") for one in drawn(apples, *REPLIES)]
    assert texts == ["3 + 8 = 12.", None, "3 + 8 = 13.", None]


def test_the_rejected_target_ends_in_the_wrong_answer(apples: Question) -> None:
    (example,) = Preference().examples(apples, drawn(apples, *REPLIES)[0])
    assert example.target == "3 + 8 = 11. --> 11"
    assert example.extra == {"rejected": "3 + 8 = 12. --> 12"}


def test_the_second_round_learns_from_pairs_alone(apples: Question) -> None:
    method, number = Preference(beta=0.3), Number()
    alike = drawn(apples, REPLIES[0], REPLIES[2])
    assert all(one.extra == {} for one in alike)
    for rationales, kept in ((alike, 0), (drawn(apples, *REPLIES), 2)):
        revised = asyncio.run(method.revise(apples, rationales, ModelClient({}), number, 1))
        assert len(revised) == kept
    assert method.objective(0) == "cross_entropy"
    assert method.objective(1) == {"name": "dpo", "beta": 0.3, "alpha": 1.0}


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_recipe_trains_both_rounds(tmp_path: Path, family: str) -> None:
    rows = [{"question": f"What is {n} plus 1?", "answer": n + 1} for n in range(20)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    replies = {
        row["question"]: [f" {n} + 1 = {n + 1}.", f" {n} + 1 = {n + 2}."]
        for n, row in enumerate(rows)
    }
    recipe = {
        "name": "pairs",
        "output": str(tmp_path),
        "task": {"name": "custom", "path": str(tmp_path / "q.jsonl"), "answer": "number"},
        "teacher": {"name": "scripted", "replies": replies},
        "student": str(tiny_checkpoint(tmp_path / "base", family)),  # type: ignore[arg-type]
        "methods": [{"name": "preference", "samples": 2, "answer_call": False}],
        "limit": {"train": 4, "validation": 2, "test": 2},
        "train": {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "selection": "last"},
    }
    run_recipe(parse_recipe(recipe))
    (first,) = (tmp_path / "pairs").rglob("round-0/student/examples.jsonl")
    (second,) = (tmp_path / "pairs").rglob("round-1/student/examples.jsonl")
    pairs = list(read_records(second, Example))
    assert len(list(read_records(first, Example))) == len(pairs) == 4
    assert all(pair.extra["rejected"] != pair.target for pair in pairs)
    trained = read_json(second.parent / "checkpoint" / "training.json")
    assert [entry["loss"] for entry in trained["history"] if "loss" in entry]
    assert len(list((tmp_path / "pairs").rglob("dropped.jsonl"))) == 2

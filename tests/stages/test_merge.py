"""Shards joined are what one run would have made: rows byte for byte, each request asked once."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import BudgetSpent, StoreError, UserError
from cotdistill.model.completion_log import CompletionLog
from cotdistill.model.merging import merge_log
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import Recipe, parse_recipe
from cotdistill.records import Completion, Question
from cotdistill.runs.shards import Shard
from cotdistill.stages.merge import merge_shards
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json

SHARDS = [Shard(number, 4) for number in range(1, 5)]


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    # Every third question is there twice, under two ids and with other white space.
    texts = [f"{n} +  1?" if n % 2 else f"{n // 3} + 1?" for n in range(40)]
    rows = [{"id": f"q{n}", "question": text, "answer": "7"} for n, text in enumerate(texts)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    replies = {str(n): [f" By {n}{way}. The answer is 7." for way in "abc"] for n in range(9, 40)}
    return {
        "name": "one",
        "output": str(tmp_path),
        "task": {
            "name": "custom",
            "path": str(tmp_path / "questions.jsonl"),
            "answer": "number",
            "label": "sums",
            "overlap": "drop",
        },
        "teacher": {"name": "scripted", "replies": {**replies, "": " Then 7. The answer is 7."}},
        "student": {"model": str(tiny_checkpoint(tmp_path / "base", "gpt2")), "label": "tiny"},
        "methods": [
            {"name": "fine_tune_cot", "samples": 2, "student_max_tokens": 8, "label": "cot"},
            {"name": "zero_shot_cot", "label": "teacher"},
        ],
        "limit": {"train": 20, "validation": 2, "test": 6},
        "train": {"epochs": 1, "batch_size": 8, "selection": "last"},
    }


def in_shards(recipe: Recipe, stage: str) -> None:
    for shard in SHARDS:
        run_recipe(recipe, stages=[stage], shard=shard)


def spent(folder: Path) -> dict[str, Any]:
    kept: dict[str, Any] = read_json(folder / "ledger.json")["roles"]["teacher"]
    return {**kept, "money": None}


def test_four_shards_merged_are_one_run(data: dict[str, Any]) -> None:
    one = run_recipe(parse_recipe(data))
    recipe = parse_recipe({**data, "name": "four"})
    in_shards(recipe, "generate")
    sizes = [
        len((place / "sums/cot/generate/rationales.jsonl").read_text().splitlines())
        for place in sorted((recipe.folder / "shards~").iterdir())
    ]
    assert sum(sizes) == 20 and min(sizes) > 0
    first = list(merge_shards(recipe))
    assert first[1] == "sums/cot/generate: 20 questions of 4 shards"
    run_recipe(recipe, stages=["curate", "train"])
    in_shards(recipe, "infer")
    assert list(merge_shards(recipe)) == list(merge_shards(recipe))
    four = run_recipe(recipe)
    for name in ("generate/rationales.jsonl", "curate/kept.jsonl", "curate/dropped.jsonl"):
        ours, theirs = four.folder / "sums/cot" / name, one.folder / "sums/cot" / name
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert four.scores() == one.scores()
    # Two shards never asked the same: each completion was paid for once, and all sums are there.
    assert spent(four.folder)["completions"] == spent(one.folder)["completions"]
    assert spent(four.folder)["prompt_tokens"] == spent(one.folder)["prompt_tokens"]
    with CompletionLog(one.log, read_only=True) as a, CompletionLog(four.log, read_only=True) as b:
        assert {e.key: e.completion for e in a.entries()} == {
            e.key: e.completion for e in b.entries()
        }


def test_a_missing_shard_or_one_of_another_recipe_is_named(data: dict[str, Any]) -> None:
    recipe = parse_recipe(data)
    with pytest.raises(UserError, match="no shards; make them"):
        list(merge_shards(recipe))
    in_shards(recipe, "generate")
    place = recipe.folder / "shards~"
    shutil.rmtree(place / "3-of-4/sums")
    with pytest.raises(UserError, match=r"of 4 shards 1 are missing or not finished: 3; .*3/4`"):
        list(merge_shards(recipe))
    shutil.rmtree(place / "3-of-4")
    with pytest.raises(UserError, match="missing or not finished: 3;"):
        list(merge_shards(recipe))
    run_recipe(recipe, stages=["generate"], shard=SHARDS[2])
    data["methods"][0]["samples"] = 3
    with pytest.raises(UserError, match="4 are missing or not finished: 1, 2, 3, 4"):
        list(merge_shards(parse_recipe(data)))
    with pytest.raises(UserError, match="shards of 4 and of 5"):
        list(merge_shards(recipe, [*place.iterdir(), place / "1-of-5"]))
    with pytest.raises(UserError, match="no shard's folder"):
        list(merge_shards(recipe, [recipe.folder]))


def test_a_row_that_is_lost_is_noticed(data: dict[str, Any]) -> None:
    recipe = parse_recipe(data)
    in_shards(recipe, "generate")
    path = recipe.folder / "shards~/2-of-4/sums/cot/generate/rationales.jsonl"
    lines = path.read_text().splitlines()
    marker = path.with_name("done.json")
    path.write_text("\n".join(lines[1:]) + "\n")
    noted = json.loads(marker.read_text())
    noted["files"][path.name] = path.stat().st_size
    marker.write_text(json.dumps(noted))
    with pytest.raises(StoreError, match="delete this folder and make the shard again"):
        list(merge_shards(recipe))
    assert not (recipe.folder / "sums/cot/generate/done.json").exists()


def test_a_shard_asks_nothing_that_the_runs_log_has(data: dict[str, Any]) -> None:
    recipe = parse_recipe(data)
    run_recipe(recipe, stages=["generate"])
    (recipe.folder / "sums/cot/generate/done.json").unlink()
    run_recipe(recipe, stages=["generate"], shard=SHARDS[0])
    found = spent(recipe.folder / "shards~/1-of-4")
    assert (found["completions"], found["from_log"] > 0) == (0, True)


def test_a_shard_spends_its_part_of_the_budget(data: dict[str, Any]) -> None:
    whole = run_recipe(parse_recipe(data), stages=["generate"])
    tokens = whole.ledger.total.tokens
    recipe = parse_recipe({**data, "name": "small", "budget": {"tokens": tokens // 2}})
    with pytest.raises(BudgetSpent):
        in_shards(recipe, "generate")
    (place,) = (recipe.folder / "shards~").iterdir()
    assert tokens // 8 <= read_json(place / "ledger.json")["tokens"] < tokens // 4


def test_sums_of_a_log_are_added_once_and_what_came_later_too(tmp_path: Path) -> None:
    shard, run = tmp_path / "shard.sqlite", tmp_path / "run.sqlite"

    def book(tokens: float) -> None:
        with CompletionLog(shard, run="r") as log:
            log.counts["teacher", "prompt_tokens"] += tokens

    def total() -> float:
        with CompletionLog(run, run="r") as log:
            return log.read_counts()["teacher", "prompt_tokens"]

    book(5.0)
    assert (merge_log(shard, run), merge_log(shard, run), total()) == (0, 0, 5.0)
    book(2.0)
    merge_log(shard, run)
    assert total() == 7.0
    shard.unlink()  # the shard is made anew: another log under the same name
    book(3.0)
    merge_log(shard, run)
    assert total() == 10.0


def test_completions_that_two_shards_asked_for_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with CompletionLog(tmp_path / name) as log:
            log.add([("00" * 32, "{}", "{}", [Completion(f"by {name}")])])
    assert merge_log(tmp_path / "a", tmp_path / "run") == 0
    assert merge_log(tmp_path / "b", tmp_path / "run") == 1
    with closing(sqlite3.connect(tmp_path / "run")) as database:
        assert database.execute("SELECT text FROM completions").fetchall() == [("by a",)]


@pytest.mark.parametrize(
    "text", ["3", "0/4", "5/4", "a/b", "1/4/2", "٣/٤", "-1/4", "1/" + "9" * 99]
)
def test_no_shard(text: str) -> None:
    with pytest.raises(UserError, match="write it as 3/64"):
        Shard.parse(text)


def test_the_text_decides_the_shard_and_spreads_evenly() -> None:
    counts = [0] * 8
    for n in range(4000):
        shard = next(k for k in range(8) if Shard(k + 1, 8).has(Question(f"q{n}", f"t {n}", "1")))
        counts[shard] += 1
        assert Shard(shard + 1, 8).has(Question(f"other {n}", f" t  {n}", "2"))
    assert min(counts) > 400
    # The division is kept in folders of finished shards: it may never change.
    assert Shard(4, 8).has(Question("", "What is 2 + 2?", "4"))

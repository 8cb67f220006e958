"""The real recipes: recorded teachers fit their tasks, and no test question is trained on."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError
from cotdistill.pipeline import run_recipe
from cotdistill.recipe import load_recipe
from cotdistill.records import Question
from cotdistill.tasks.custom import Custom
from cotdistill.text.templates import normalised
from recipes.real.fetch import File, fetch, files

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes" / "real").glob("*.yaml"))
FIRST = 40
"""Training questions of each task that are looked up."""


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recorded_rationales_reach_gold(
    path: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data").symlink_to(shared_data)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    recipe = load_recipe(path, [f"limit.train={FIRST}"])
    run = run_recipe(recipe, stages=["generate", "curate"])
    assert [run.infer_artifact(*one).metadata for one in run.answered()]  # every split is there
    for task, method in run.trained():
        counts = run.curate_artifact(task, method).require("curate")
        assert counts["questions"] == FIRST
        # SVAMP's split is another one than its recording's: two in three questions are recorded.
        enough = 0.4 if task.label in ("svamp", "addsub", "openbookqa") else 0.6
        assert counts["questions_kept"] >= enough * FIRST, (task.label, method.label, counts)
        samples = getattr(method.plugin, "samples", 1)
        if isinstance(samples, int) and samples > 1:
            assert counts["kept"] > 1.5 * counts["questions_kept"], (task.label, counts)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_training_question_stands_in_the_test_split(
    path: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data").symlink_to(shared_data)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    recipe = load_recipe(path)
    for task, method in itertools.product(recipe.tasks, recipe.methods):
        left_out = {id for one in method.filters if one.name == "ids" for id in one.plugin.drop}
        tested = {_words(one) for one in task.plugin.questions("test")}
        train = task.plugin.questions("train")
        both = {one.id for one in train if _words(one) in tested} - left_out
        assert len(tested) > 100
        assert not both, (task.label, method.label)


def _words(question: Question) -> str:
    return normalised(" ".join((question.text, *question.options)))


def test_training_on_what_another_source_tests_on_is_refused(shared_data: Path) -> None:
    train, test = "benchmarks/svamp.json", "teachers/mentor-kd/svamp_test.json"
    files = {"train": str(shared_data / train), "test": str(shared_data / test)}
    columns: dict[str, Any] = {"question": ("question", "input")}
    recipe = {"path": files, "answer": "number", "columns": columns, "validation": 0}
    with pytest.raises(DataError, match=f"{train} and .*{test}: 150 training questions stand in"):
        list(Custom(**recipe).questions("train"))
    assert len(list(Custom(**recipe, overlap="drop").questions("train"))) == 850


def test_data_page_lists_every_file_with_its_size(shared_data: Path) -> None:
    text = (ROOT / "recipes" / "real" / "DATA.md").read_text("utf-8")
    listed = {file.name: file.size for file in files(text)}
    assert len(listed) > 40
    for name, size in listed.items():
        assert (shared_data / name).stat().st_size == size, name
    for path in RECIPES:
        named = re.findall(r"\.\./shared/data/([\w./-]+\.jsonl?)", path.read_text("utf-8"))
        assert [name for name in named if name not in text] == [], path.name


def test_a_file_of_another_size_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("[]")
    there = File("there.json", "a/b", "c", "d.json", 2)
    assert fetch(there, tmp_path) == "there already"
    served = (tmp_path / "served.json").as_uri()
    (tmp_path / "served.json").write_text("[1]")

    class Served(File):
        @property
        def url(self) -> str:
            return served

    assert "3 bytes where DATA.md says 2" in fetch(Served(*there._replace(name="x.json")), tmp_path)
    assert not (tmp_path / "x.json").exists()
    assert fetch(Served(*there._replace(name="y.json", size=3)), tmp_path) == "fetched"
    assert (tmp_path / "y.json").read_text() == "[1]"

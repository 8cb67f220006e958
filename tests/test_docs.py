"""The code in the guides runs as it stands there, as a module of somebody else's package."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import runpy
import tomllib
from itertools import combinations
from pathlib import Path

import pytest
import yaml

import cotdistill
from cotdistill import plugins
from cotdistill.answers.number import Number
from cotdistill.contracts import Method, Split, Task, TrainSettings
from cotdistill.model.client import ModelClient
from cotdistill.recipe import Recipe, parse_recipe, resolved_yaml
from cotdistill.records import Example, Question
from cotdistill.students._settings import LoraSettings
from cotdistill.students.transformers import TransformersStudent
from cotdistill.teachers.scripted import Scripted
from cotdistill.testing.tiny import tiny_checkpoint

DOCS = Path(__file__).parents[1] / "docs"


def blocks(document: str, language: str) -> list[str]:
    found = re.findall(
        rf"^```{language}\n(.*?)^```$",
        (DOCS / document).read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    assert found, f"{document} shows no {language}"
    return found


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_guide_to_a_task(package: Path) -> None:
    (code,) = blocks("adding-a-task.md", "python")
    (package / "task_of_the_guide.py").write_text(code, "utf-8")
    task = plugins.build("tasks", {"name": "task_of_the_guide:RomanNumerals", "size": 500}, Task)
    splits: tuple[Split, ...] = ("train", "validation", "test")
    parts = {split: list(task.questions(split)) for split in splits}
    assert {split: len(part) for split, part in parts.items()} == dict.fromkeys(splits, 500)
    assert parts["validation"][-1].text == "What number is MD?"
    assert parts["train"][3] == Question("roman/train/4", "What number is IV?", "4")
    for one, other in combinations(parts.values(), 2):
        assert {question.text for question in one}.isdisjoint(question.text for question in other)
    assert list(task.questions("ood")) == []
    assert task.answer_type.same("4", "4.0")


def test_the_guide_to_a_method(package: Path) -> None:
    (code,) = blocks("adding-a-method.md", "python")
    (package / "method_of_the_guide.py").write_text(code, "utf-8")
    method = plugins.build("methods", "method_of_the_guide:AnswerThenReason", Method)
    question = Question("q1", "What is 3 + 8?", "11")
    ask = ModelClient(
        {
            "teacher": Scripted(replies=" It adds up.").open(),
            "student": Scripted(replies="11 because 7").open(),
        }
    )
    (rationale,) = asyncio.run(method.annotate(question, ask, Number()))
    assert list(method.examples(question, rationale)) == [
        Example("student", "What is 3 + 8?", "11 because It adds up.")
    ]
    assert asyncio.run(method.solve(question, ask, Number())).answer == "11"


def test_the_guides_entry_points_are_of_groups_that_are_read() -> None:
    for text in blocks("adding-a-task.md", "toml"):
        (group,) = tomllib.loads(text)["project"]["entry-points"]
        assert group.removeprefix("cotdistill.") in plugins.KINDS


def test_the_page_on_python_runs_top_to_bottom(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(package)
    (package / "page.py").write_text("\n".join(blocks("python.md", "python")), "utf-8")
    page = runpy.run_path(str(package / "page.py"), run_name="__main__")
    assert (
        len(page["scores"]) == 3
        and len(page["patient"].scores) == 5
        and set(page["answers"].verdict) <= set(cotdistill.Verdict)
    )
    assert len(page["rationales"]) >= 16 + 16
    assert "kept" in capsys.readouterr().out
    assert page["Patient"]().tries == 2 and page["Pool"]().processes == 2


def test_the_readmes_recipe_and_python_run_as_they_stand(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(package)
    (text,), (code,) = blocks("../README.md", "yaml"), blocks("../README.md", "python")
    (package / "recipe.yaml").write_text(text, "utf-8")
    recipe = cotdistill.load_recipe("recipe.yaml")
    assert [entry.label for entry in recipe.students] == ["SmolLM2-135M"]
    rows = [{"question": f"What is {n} + 1?", "answer": "7"} for n in range(30)]
    (package / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # What costs money or hours is replaced; methods, seeds and the rest stay as they stand.
    small = {
        "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
        "student": str(tiny_checkpoint(package / "base", "gpt2")),
        "train": {"epochs": 1},
        "limit": {"train": 6, "validation": 2, "test": 3},
    }
    (package / "recipe.yaml").write_text(yaml.safe_dump({**yaml.safe_load(text), **small}))
    (package / "readme.py").write_text(code, "utf-8")
    runpy.run_path(str(package / "readme.py"))
    printed = capsys.readouterr().out
    assert all(f"{entry.label}: " in printed for entry in recipe.methods)


def test_the_public_names_are_there_and_documented() -> None:
    page = (DOCS / "python.md").read_text("utf-8")
    public = [name for name in dir(cotdistill) if not name.startswith("_")]
    assert len(public) > 25
    for name in public:
        assert f"`{name}`" in page, name
        home = cotdistill._homes()[name]
        assert getattr(cotdistill, name) is getattr(importlib.import_module(home), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cotdistill.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_page_on_recipes_spells_out_every_key_and_its_default() -> None:
    (text,) = blocks("recipe.md", "yaml")
    spelled = yaml.safe_load(text)
    recipe = parse_recipe(spelled)
    assert spelled.keys() == {*Recipe.model_fields, "filters", "train"}
    assert spelled["train"].keys() == TrainSettings.model_fields.keys()
    given = ("name", "tasks", "methods")
    plain = parse_recipe({key: spelled[key] for key in given})
    assert resolved_yaml(plain) == resolved_yaml(recipe)
    page = (DOCS / "recipe.md").read_text("utf-8")
    for settings in (TransformersStudent, LoraSettings):
        assert all(name in page for name in settings.model_fields)

"""From Python: recipes of every form, own classes where names are, notebooks, results."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import PrivateAttr

import cotdistill
from cotdistill import AnswerType, Filter, Question, Rationale, Recipe, Result
from cotdistill.answers.number import Number
from cotdistill.errors import RecipeError, UserError
from cotdistill.filters.length import Length
from cotdistill.objectives.cross_entropy import CrossEntropy
from cotdistill.strategies.combined import Combined
from cotdistill.strategies.greedy import Greedy
from cotdistill.tasks.custom import Custom
from cotdistill.teachers.scripted import Scripted
from cotdistill.testing.tiny import tiny_checkpoint

RECIPE: dict[str, Any] = {
    "task": "word_problems",
    "teacher": {"name": "scripted", "replies": " So it is. The answer is 7."},
    "methods": ["fine_tune_cot"],
    "filters": [],
    "limit": {"train": 4, "validation": 2, "test": 4},
}
CURATED = ("generate", "curate")


class Odd(Filter):
    """Keeps every other rationale."""

    keep: int = 1

    def apply(
        self, candidates: Iterable[tuple[Question, Rationale]], answer_type: AnswerType
    ) -> Iterator[tuple[Question, Rationale, str | None]]:
        for number, (question, rationale) in enumerate(candidates):
            yield question, rationale, None if number % 2 == self.keep else "even"


class Secretive(Odd):
    """Hides a setting."""

    _secret: int = PrivateAttr(1)


class Ours(Number):
    """A number of ours."""


class OwnLoss(CrossEntropy):
    """A loss of ours."""


class OwnStrategy(Greedy):
    """A strategy of ours."""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cotdistill.__file__).parents[1])}


def curated(recipe: Any = RECIPE, **overrides: Any) -> Result:
    return cotdistill.run(recipe, stages=CURATED, progress=False, **overrides)


def test_a_recipe_is_a_file_a_mapping_or_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump(RECIPE))
    results = [curated("mine.yaml"), curated(Path("mine.yaml")), curated(RECIPE)]
    results.append(curated(cotdistill.load_recipe("mine.yaml"), name="again"))
    assert [str(one.folder) for one in results] == ["runs/mine"] * 2 + ["runs/run", "runs/again"]
    texts = [[row["text"] for row in one.rationales()] for one in results]
    assert texts == [["So it is."] * 4] * 4
    assert capsys.readouterr().out == ""
    assert repr(results[0]) == "Result('runs/mine')"
    cotdistill.run(RECIPE, stages=["generate"], name="loud")
    assert "4/4" in capsys.readouterr().out


def test_keywords_replace_keys_and_change_no_mapping() -> None:
    recipe = {**RECIPE, "train": {"epochs": 3, "batch_size": 2}}
    before = json.dumps(recipe)
    changed = curated(recipe, tasks=["coin_flip"], seeds=[4], **{"train.epochs": 5}).recipe
    assert json.dumps(recipe) == before
    assert [entry.label for entry in changed.tasks] == ["coin_flip"] and changed.seeds == (4,)
    assert (changed.methods[0].train.epochs, changed.methods[0].train.batch_size) == (5, 2)
    with pytest.raises(RecipeError, match="unknown key 'sedes'; did you mean 'seeds'"):
        curated(recipe, sedes=[1])
    with pytest.raises(RecipeError, match=r"methods.0: 'methods' holds no settings by name"):
        curated(recipe, **{"methods.0": "answer_only"})


def test_results_are_rows_and_are_opened_where_the_folder_lies(tmp_path: Path) -> None:
    student = str(tiny_checkpoint(tmp_path / "base", "gpt2"))
    made = cotdistill.run(RECIPE, student=student, progress=False, **{"train.epochs": 1})
    made.folder.rename(tmp_path / "elsewhere")
    result = Result(tmp_path / "elsewhere")
    assert result.folder == tmp_path / "elsewhere" and result.report.exists()
    frame = result.to_frame()
    assert list(frame.accuracy) == [row["accuracy"] for row in result.scores]
    assert list(frame.method) == ["fine_tune_cot", "majority answer"][: len(frame)]
    told = result.ask("What is 3 + 8?", method="fine_tune_cot")
    assert isinstance(told, cotdistill.Answer) and told.completion_tokens
    with pytest.raises(UserError):
        result.ask("What is 3 + 8?", method="other")
    answers = list(result.answers())
    assert len(answers) == 4 and {row["verdict"] for row in answers} <= set(cotdistill.Verdict)


def test_what_is_not_there_is_refused_with_the_stage_to_run() -> None:
    result = curated()
    with pytest.raises(UserError, match=r"scores.json: not there; run the stage evaluate first"):
        _ = result.scores
    with pytest.raises(UserError, match="run the stage infer first"):
        list(result.answers())
    with pytest.raises(RecipeError, match=r"runs/no: No such file"):
        Result("runs/no")


def test_classes_and_objects_stand_for_entries(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(
        "".join(json.dumps({"question": f"{n}?", "answer": "7"}) + "\n" for n in range(20))
    )
    methods = [
        {"name": "fine_tune_cot", "filters": [Odd], "label": "odd"},
        {"name": "fine_tune_cot", "filters": [Odd(keep=0), Length(minimum=1)], "label": "even"},
    ]
    recipe = {
        **RECIPE,
        "task": Custom(path="q.jsonl", answer=Ours()),
        "teacher": Scripted(replies=" Yes. The answer is 7."),
        "methods": methods,
        "strategies": [OwnStrategy, Combined(of=[Greedy(), OwnStrategy])],
        "train": {"objective": OwnLoss()},
    }
    result = curated(recipe)
    kept = {(row["method"], row["dropped_by"], row["reason"]) for row in result.rationales()}
    odd = f"{__name__}:Odd"
    assert kept == {
        (m, by, why) for m in ("odd", "even") for by, why in ((None,) * 2, (odd, "even"))
    }
    noted = (result.folder / "recipe.yaml").read_text()
    assert f"{__name__}:OwnLoss" in noted and f"{__name__}:Ours" in noted
    assert [entry.name for entry in result.recipe.methods[1].filters] == [odd, "length"]
    assert result.recipe.strategies[0].label == "OwnStrategy"
    again = Result(result.folder)  # from the YAML alone
    assert list(again.rationales()) == list(result.rationales())
    assert isinstance(again.recipe.tasks[0].plugin.answer_type, Ours)


def test_what_could_not_be_made_again_is_refused() -> None:
    class Local(Odd):
        """Defined in a function."""

    hidden = Secretive()
    hidden._secret = 2
    for wrong, message in (
        (Local, "Local is not what stands under that name: define the class at the top"),
        (hidden, "its settings alone do not make it again"),
        (Greedy, r"filters: .*greedy"),
    ):
        with pytest.raises(UserError, match=message):
            curated(RECIPE, filters=[wrong])
    with pytest.raises(UserError, match=r"'__main__:Nope'.*move the class into a file my_module"):
        curated(RECIPE, filters=["__main__:Nope"])


SCRIPT = '''
import cotdistill, sys
from cotdistill import Filter

LIMIT = int(sys.argv[1])

def long(text):
    return len(text) > LIMIT

class Short(Filter):
    """{doc}"""

    def apply(self, candidates, answer_type):
        for question, rationale in candidates:
            print("asked", file=sys.stderr)
            yield question, rationale, "long" if long(rationale.text) else None

result = cotdistill.run("mine.yaml", filters=[Short], stages=["generate", "curate"], progress=False)
print(sum(row["dropped_by"] is None for row in result.rationales()), {extra})
'''


def test_a_class_of_a_script_is_made_anew_where_what_it_uses_has_changed(tmp_path: Path) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump(RECIPE))

    def call(limit: int, doc: str, extra: int) -> tuple[str, bool]:
        (tmp_path / "script.py").write_text(SCRIPT.format(doc=doc, extra=extra))
        program = [sys.executable, "script.py", str(limit)]
        done = subprocess.run(program, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[0], "asked" in done.stderr

    assert call(50, "Drops what is long.", 0) == ("4", True)
    assert call(50, "Other words.", 1) == ("4", False)
    assert call(5, "Other words.", 1) == ("0", True)
    command = [sys.executable, "-m", "cotdistill", "curate", "runs/mine/recipe.yaml"]
    refused = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1
    assert "run that again, or move the class into a file my_module.py" in refused.stderr


def test_a_module_in_the_folder_of_the_call_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = SCRIPT.split("result =")[0].replace("int(sys.argv[1])", "5").format(doc="Short.")
    (tmp_path / "beside_the_recipe.py").write_text(code)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(tmp_path))])
    result = curated(RECIPE, filters=["beside_the_recipe:Short"])
    assert {row["reason"] for row in result.rationales()} == {"long"}


def test_it_runs_where_a_loop_runs_already() -> None:
    async def cell() -> Result:
        return curated()

    assert len(list(asyncio.run(cell()).rationales())) == 4


def test_a_recipe_is_public() -> None:
    assert isinstance(cotdistill.parse_recipe({**RECIPE, "name": "r"}), Recipe)

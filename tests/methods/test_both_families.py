"""Every method, with both families of students, from the teacher to the scores.

Each student learns one question by heart: what its roles then write is what the method says they
learn, and the answer is right.
"""

from collections.abc import Iterator
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType, Model, Split, Task, Teacher
from cotdistill.pipeline import STAGES, run_recipe
from cotdistill.plugins import names
from cotdistill.recipe import parse_recipe
from cotdistill.records import Answer, Example, Question, Request, Step
from cotdistill.teachers.scripted import Scripted
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json, read_records

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "socratic_cot": [{"step_max_tokens": 16}],
    "socratic_unified": [{"source": "gold", "student_max_tokens": 48}],
    "sci_cot": [
        {"train_rationale": "mixed", "rationale_max_tokens": 32},
        {"stages": "answer_rationale", "rationale_max_tokens": 32},
    ],
    "star": [{"iterations": 1, "keep": True, "student_max_tokens": 32}],
    "rft": [{"source": "gold", "own_samples": 2, "student_max_tokens": 32}],
    "fine_tune_cot": [{"samples": 2, "student_max_tokens": 32}],
    "tslm": [{"shots": 0, "student_max_tokens": 32}],
    "preference": [{"samples": 2, "student_max_tokens": 32}],
    "step_by_step": [{"shots": 0}],
}
PROMPTING = {"few_shot", "few_shot_cot", "zero_shot", "zero_shot_cot"}
TRAINED = [name for name in names("methods") if name not in PROMPTING]
SETTINGS = [{"name": name, **more} for name in TRAINED for more in VARIANTS.get(name, [{}])]

APPLES = Question(
    "q3",
    "Ana has 3 apples and buys 8 more. How many?",
    "11",
    rationale="Ana has 3 apples. 3 + 8 = 11.",
    steps=(
        Step("How many at first?", "Ana has 3 apples.", "3"),
        Step("And then?", "3 + 8 = 11.", "11"),
    ),
)
SOCRATIC = "How many at first? ** Ana has 3.\nAnd then? ** 3 + 8 = 11.\n#### 11"


def teaches(request: Request, index: int) -> str:
    """A teacher that answers every prompt form, in its first way rightly."""
    prompt = str(request.prompt)
    if prompt.endswith("the answer is"):
        return " 12." if "Way 1" in prompt else " 11."
    if "sub-questions" in prompt:
        return SOCRATIC
    conclusion = "" if "step by step" in prompt else " The answer is 11."
    return f" Way {index}: 3 + 8 = 11.{conclusion}"


class Apples(Task):
    """One question about apples, asked again as the test."""

    @property
    def answer_type(self) -> AnswerType:
        return Number()

    def questions(self, split: Split) -> Iterator[Question]:
        if split in ("train", "test"):
            yield replace(APPLES, id=split)


class Teaching(Teacher):
    """Answers every prompt form."""

    def open(self) -> Model:
        return Scripted(replies=teaches).open()


@pytest.fixture(scope="module", params=["llama", "t5"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family: Literal["llama", "t5"] = request.param
    texts = [SOCRATIC, "Way 0: | predict: explain: Solution: done"]
    return tiny_checkpoint(tmp_path_factory.mktemp(family) / family, family, texts=texts)


@pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda settings: "-".join(str(value) for value in settings.values())
)
def test_it_learns_what_it_should(base: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    run = run_recipe(
        parse_recipe(
            {
                "name": "r",
                "output": str(tmp_path),
                "task": f"{__name__}:Apples",
                "teacher": f"{__name__}:Teaching",
                "student": {"model": str(base), "label": "tiny"},
                "methods": [settings],
                "filters": ["answer_match"],
                "train": {"epochs": 40, "learning_rate": 5e-3, "selection": "last"},
            }
        ),
        stages=[stage for stage in STAGES if stage != "report"],
    )
    (cell,) = run.cells()
    trained = run.train_artifact(cell).metadata
    assert trained is not None
    rounds = cell.method.plugin.rounds
    assert set(trained["checkpoints"]) == {role for roles in rounds for role in roles}
    ((_, split, strategy),) = run.answered()
    answered = run.infer_artifact(cell, split, strategy)
    (answer,) = read_records(answered.folder / "answers.jsonl", Answer)
    work = run.train_artifact(cell).folder
    learnt = {
        (role, example.target)
        for role, path in trained["checkpoints"].items()
        for example in read_records((work / path).with_name("examples.jsonl"), Example)
    }
    written = {(entry["role"], entry["text"].strip()) for entry in answer.trace}
    assert {role for role, _ in written} == set(trained["checkpoints"])
    if base.name == "llama":
        assert written <= learnt
        assert answer.answer == "11"
    # So small an encoder-decoder repeats itself, but what it writes is its own role's target.
    for writer, text in written:
        alike = {SequenceMatcher(a=text, b=target).ratio(): role for role, target in learnt}
        assert max(alike) > 0.25
        assert alike[max(alike)] == writer
    assert read_json(run.folder / "scores.json")["rows"][0]["n"] == 1

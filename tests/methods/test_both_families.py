"""Every method, with both families of students: annotates, filters, trains all its rounds, reloads and answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType, Model, Split, Task, Teacher
from cotdistill.pipeline import run_recipe
from cotdistill.plugins import names
from cotdistill.recipe import parse_recipe
from cotdistill.records import Answer, Question, Request, Step
from cotdistill.teachers.scripted import Scripted
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_json, read_records

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "socratic_cot": [
        {"variant": "iterative", "step_max_tokens": 8, "max_steps": 3},
        {"variant": "unified", "source": "gold", "student_max_tokens": 32},
    ],
    "sci_cot": [
        {"train_rationale": "mixed", "rationale_max_tokens": 16},
        {"stages": "answer_rationale", "rationale_max_tokens": 16},
    ],
    "star": [
        {"iterations": 1, "keep": True, "student_max_tokens": 16},
        {"variant": "rft", "start": "gold", "samples": 2, "student_max_tokens": 16},
    ],
    "fine_tune_cot": [{"samples": 2, "student_max_tokens": 16}],
    "tslm": [{"shots": 1, "student_max_tokens": 16}],
    "step_by_step": [{"shots": 0}],
}
PROMPTING = {"few_shot", "few_shot_cot", "zero_shot", "zero_shot_cot"}
TRAINED = [name for name in names("methods") if name not in PROMPTING]
SETTINGS = [{"name": name, **more} for name in TRAINED for more in VARIANTS.get(name, [{}])]

QUESTIONS = [
    Question(
        f"q{a}",
        f"Ana has {a} apples and buys 8 more. How many?",
        str(a + 8),
        rationale=f"Ana has {a} apples. {a} + 8 = {a + 8}.",
        steps=(
            Step("How many at first?", f"Ana has {a} apples.", str(a)),
            Step("And then?", f"{a} + 8 = {a + 8}.", str(a + 8)),
        ),
    )
    for a in range(1, 9)
]


def teaches(request: Request, index: int) -> str:
    """A teacher that answers every prompt form rightly."""
    prompt = str(request.prompt)
    number = int(prompt.split("Ana has ")[-1].split()[0])
    if prompt.endswith("the answer is"):
        return f" {number + 8}."
    if "sub-questions" in prompt:
        return f"How many at first? ** Ana has {number}.\nAnd then? ** {number} + 8 = {number + 8}.\n#### {number + 8}"
    conclusion = "" if "step by step" in prompt else f" The answer is {number + 8}."
    return f" Way {index}: {number} + 8 = {number + 8}.{conclusion}"


class Apples(Task):
    """Eight sums about apples; the first three are asked again, with other names, as the test."""

    @property
    def answer_type(self) -> AnswerType:
        return Number()

    def questions(self, split: Split) -> Iterator[Question]:
        if split == "train":
            yield from QUESTIONS
        elif split == "test":
            for one in QUESTIONS[:3]:
                yield Question(f"test-{one.id}", f"And so: {one.text}", one.answer)


class Teaching(Teacher):
    """Answers every prompt form rightly."""

    def open(self) -> Model:
        return Scripted(replies=teaches).open()


@pytest.fixture(scope="module", params=["llama", "t5"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family: Literal["llama", "t5"] = request.param
    return tiny_checkpoint(tmp_path_factory.mktemp(family), family)


@pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda settings: "-".join(str(value) for value in settings.values())
)
def test_it_trains_reloads_and_answers(
    base: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
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
                "train": {"epochs": 1, "selection": "last"},
            }
        )
    )
    (cell,) = run.cells()
    trained = run.train_artifact(cell).metadata
    assert trained is not None
    rounds = cell.method.plugin.rounds
    assert set(trained["checkpoints"]) == {role for roles in rounds for role in roles}
    ((_, split, strategy),) = run.answered()
    answered = run.infer_artifact(cell, split, strategy)
    answers = list(read_records(answered.folder / "answers.jsonl", Answer))
    assert [answer.question_id for answer in answers] == ["test-q1", "test-q2", "test-q3"]
    assert all(answer.trace and not answer.text.startswith("[failed") for answer in answers)
    assert read_json(run.folder / "scores.json")["rows"][0]["n"] == 3

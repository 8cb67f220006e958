"""Every method, with both families of students: annotates, filters, trains all its rounds, reloads and answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import Ask, Method, Model
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.filters.answer_match import AnswerMatch
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.client import Asker
from cotdistill.plugins import build, names
from cotdistill.records import Answer, Question, Request, Step
from cotdistill.stages.infer import answer_questions
from cotdistill.stages.train import Training, train_method
from cotdistill.students.loading import load_student
from cotdistill.students.settings import StudentSettings, TrainSettings
from cotdistill.teachers.scripted import Scripted
from cotdistill.testing.tiny import tiny_checkpoint
from cotdistill.util.files import read_records
from cotdistill.util.progress import SilentProgress

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


@contextlib.asynccontextmanager
async def open_ask(models: Mapping[str, Model]) -> AsyncIterator[Ask]:
    async with Asker({"teacher": Scripted(replies=teaches).open(), **models}) as ask:
        yield ask


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
    method, kind = build("methods", settings, Method), Number()
    method = (
        method.with_exemplars(QUESTIONS[-method.exemplar_count :])
        if method.exemplar_count
        else method
    )
    student = StudentSettings(model=str(base))
    load = partial(load_student, TransformersEngine(), student)
    training = Training(
        method=method,
        student=student,
        settings=TrainSettings(epochs=1, selection="last"),
        seed=0,
        answer_type=kind,
        filters=[("answer_match", AnswerMatch())],
        questions=QUESTIONS,
        validation=[],
        open_ask=open_ask,
        load_role=load,
        progress=SilentProgress(),
        label="test",
    )

    async def annotated() -> list[Any]:
        async with open_ask({}) as ask:
            return [
                (question, one)
                for question in QUESTIONS
                for one in await method.annotate(question, ask, kind)
            ]

    trained = train_method(training, asyncio.run(annotated()), tmp_path, "test")
    assert set(trained.checkpoints) == {role for roles in method.rounds for role in roles}

    async def answer() -> None:
        models = {role: BatchedModel(load(path)) for role, path in trained.checkpoints.items()}
        async with open_ask(models) as ask:
            from cotdistill.strategies.greedy import Greedy

            await answer_questions(
                QUESTIONS[:3], method, Greedy(), ask, kind, tmp_path / "answers.jsonl"
            )

    asyncio.run(answer())
    answers = list(read_records(tmp_path / "answers.jsonl", Answer))
    assert [answer.question_id for answer in answers] == ["q1", "q2", "q3"]
    assert all(answer.trace and not answer.text.startswith("[failed") for answer in answers)

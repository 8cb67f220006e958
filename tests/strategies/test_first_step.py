import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import Ask
from cotdistill.errors import DataError
from cotdistill.methods.few_shot_cot import FewShotCot
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.records import Answer, Completion, Question, Request, Step
from cotdistill.strategies.first_step import FirstStep, gold_steps, wrong_step
from cotdistill.tasks.gsm8k import GSM8K
from cotdistill.teachers.recorded import Recorded

Run = Callable[..., Answer]


class Student:
    """Goes on from whatever its answer begins with; alone it writes three steps."""

    def __init__(self) -> None:
        self.begins = list[str]()

    def __call__(self, request: Request, index: int) -> str:
        self.begins.append(request.prefill)
        return (
            f"{request.prefill}so it is 7. --> 7"
            if request.prefill
            else " Own one. Own two. Own three. --> 9"
        )


@pytest.mark.parametrize(
    ("settings", "prefill"),
    [
        ({}, "Ana has 3 apples. "),
        ({"step": 2}, "Own one. She buys 8, so 3 + 8 = 11. "),
        ({"step": 3}, "Own one. Own two. She eats 4, so 11 - 4 = 7. "),
        ({"step": 4}, ""),
        ({"step": 2, "control": "wrong"}, "Own one. She buys 8, so 3 + 8 = 12. "),
        ({"control": "wrong"}, "Ana has 4 apples. "),
        ({"when": "uncertain"}, "Ana has 3 apples. "),
        ({"role": "student"}, "Ana has 3 apples. "),
        ({"role": "solver"}, ""),
    ],
)
def test_what_the_student_goes_on_from(run: Run, settings: dict[str, Any], prefill: str) -> None:
    student = Student()
    answer = run(FirstStep(**settings), student=student)
    assert student.begins[-1] == prefill
    assert answer.answer == ("7" if prefill else "9")


def test_guide_tokens_and_leaks_are_noted(run: Run) -> None:
    first, last = run(FirstStep(), student=Student()), run(FirstStep(step=3), student=Student())
    assert (first.guide_tokens, last.guide_tokens) == (4, 9)
    assert (first.trace[0]["role"], first.trace[0]["text"]) == ("guide", "Ana has 3 apples.")
    assert (first.trace[0]["leaks"], last.trace[0]["leaks"]) == (False, True)
    assert [entry["role"] for entry in last.trace] == ["guide", "student"]


@pytest.mark.parametrize(("logprob", "guided"), [(-0.01, False), (-0.5, True), (None, True)])
def test_a_student_sure_of_its_first_step_is_left_alone(
    apples: Question, logprob: float | None, guided: bool
) -> None:
    asked = list[dict[str, Any]]()

    async def ask(prompt: Any, **settings: Any) -> list[Completion]:
        asked.append(settings)
        text = f"{settings.get('prefill', '')}It is 9. --> 9"
        return [Completion(text, completion_tokens=5, logprob=logprob)]

    async def solve(question: Question, ask: Ask) -> Answer:
        return await FineTuneCot().solve(question, ask, Number())

    strategy = FirstStep(when="uncertain", confidence=0.8)
    answer = asyncio.run(strategy.run(solve, apples, ask, Number()))
    assert asked[0]["stop"] == (". ", " | ", "\n", " -->")
    assert asked[1].get("prefill") == ("Ana has 3 apples. " if guided else "")
    assert (answer.guide_tokens, answer.completion_tokens) == (4 if guided else 0, 10)
    assert answer.trace[0].get("why", "") == (
        "" if guided else "the student is sure of its first step"
    )


def test_the_student_tokens_spent_on_its_own_first_steps_count(run: Run) -> None:
    alone = run(FirstStep(), student=Student())
    behind_own = run(FirstStep(step=2), student=Student())
    assert behind_own.completion_tokens > alone.completion_tokens


def test_a_model_can_guide(run: Run) -> None:
    teacher = {
        "Steps so far: none\nNext step:": " Ana has 3 of them. And more.",
        "Steps so far: Own one.\nNext step:": " Then 3 + 8 = 11.",
    }
    student = Student()
    first = run(FirstStep(source="teacher"), student=student, teacher=teacher)
    second = run(FirstStep(source="teacher", step=2), student=student, teacher=teacher)
    assert student.begins == ["Ana has 3 of them. ", "", "Own one. Then 3 + 8 = 11. "]
    assert (first.guide_tokens, second.guide_tokens) == (7, 6)


def test_step_k_of_a_recorded_solution_is_its_kth_sentence(
    apples: Question, tmp_path: Path
) -> None:
    row = {"question": apples.text, "output": "Ana has 3. Then 3 + 8 = 11. So 11 - 4 = 7."}
    (tmp_path / "guide.jsonl").write_text(json.dumps(row))
    guide = Recorded(files=(tmp_path / "guide.jsonl",)).open()
    begun = list[str]()

    async def ask(prompt: Any, role: str = "student", **settings: Any) -> list[Completion]:
        if role == "guide":
            request = Request(prompt, stop=settings["stop"])
            return await guide.complete(request, [0])
        begun.append(settings.get("prefill", ""))
        return [Completion(" Own one. Own two. --> 9", completion_tokens=5)]

    async def solve(question: Question, ask: Ask) -> Answer:
        return await FineTuneCot().solve(question, ask, Number())

    strategy = FirstStep(source="guide", step=2, whole=True)
    answer = asyncio.run(strategy.run(solve, apples, ask, Number()))
    assert begun == ["", "Own one. Then 3 + 8 = 11. "]
    assert answer.guide_tokens == 6  # words: a recording has no tokens


def test_a_prompted_model_is_begun_with_a_space(run: Run) -> None:
    base = Student()
    run(FirstStep(), FewShotCot(role="base", shots=0), base=base)
    assert base.begins == [" Ana has 3 apples. "]


def test_the_solver_of_socratic_cot_can_be_begun(run: Run) -> None:
    solver, turn = Student(), iter([" One?", " Two?", " done"])
    strategy = FirstStep(role="solver")
    run(strategy, SocraticCot(), decomposer=lambda request, index: next(turn), solver=solver)
    assert solver.begins == ["Ana has 3 apples. ", ""]


def test_gold_must_be_there(run: Run, apples: Question) -> None:
    bare = dataclasses.replace(apples, rationale="", steps=())
    with pytest.raises(DataError, match="q1 has no gold solution to guide by"):
        run(FirstStep(), question=bare, student=Student())


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        ("So 3 + 8 = 11.", "So 3 + 8 = 12."),
        (
            "She pays 5 * 12 = 60 dollars in 12 months.",
            "She pays 5 * 12 = 61 dollars in 12 months.",
        ),
        ("That is 3 + 8 = <<3+8=11>>11 pens.", "That is 3 + 8 = <<3+8=12>>12 pens."),
        ("That is 3 * 3 = $<<3*3=9>>9 for 9 pens.", "That is 3 * 3 = $<<3*3=10>>10 for 9 pens."),
        ("A pen costs 2.99 now.", "A pen costs 3.99 now."),
        ("There are 1,999 pens.", "There are 2,000 pens."),
        ("The coin is heads up.", ""),
    ],
)
def test_steps_are_made_wrong(step: str, wrong: str) -> None:
    assert wrong_step(step) == wrong


@pytest.mark.parametrize(
    ("settings", "change", "why"),
    [
        ({"step": 4}, {}, "the student's own solution has no step 4"),
        ({"step": 2}, {"steps": (), "rationale": "It is 7."}, "gold has no step 2"),
        (
            {"control": "wrong"},
            {"rationale": "She eats some.", "steps": ()},
            "step 1 has no number to make wrong",
        ),
        ({"role": "solver"}, {}, "the step was not reached"),
        ({"source": "teacher"}, {}, "teacher has no step 1"),
    ],
)
def test_an_answer_without_the_guide_says_why(
    run: Run, apples: Question, settings: dict[str, Any], change: dict[str, Any], why: str
) -> None:
    question = dataclasses.replace(apples, **change)
    answer = run(
        FirstStep(**settings), question=question, student=Student(), teacher=" The answer is 7."
    )
    (entry,) = (entry for entry in answer.trace if entry["role"] == "guide")
    assert (entry["guided"], answer.answer) == (False, "9")
    assert entry["why"].startswith(why)
    guided = run(FirstStep(), student=Student())
    assert all("guided" not in entry for entry in guided.trace)


@pytest.mark.parametrize(
    ("step", "leaks"),
    [
        ("3 + 4 = 7, and 7 - 2 = 5.", True),
        ("Of her 7 apples she eats 2.", True),
        ("She has 17 apples and 7.5 pears.", False),
    ],
)
def test_a_step_leaks_that_holds_the_answer_anywhere(
    run: Run, apples: Question, step: str, leaks: bool
) -> None:
    question = dataclasses.replace(apples, rationale=step, steps=())
    answer = run(FirstStep(), question=question, student=Student())
    assert answer.trace[0]["leaks"] is leaks


def test_steps_of_the_data_go_before_sentences(apples: Question) -> None:
    steps = (Step("", "Mr. Day has 3 pens", "3"), Step("", "So it is 3 + 8 = 11 pens", "11"))
    question = dataclasses.replace(
        apples, rationale="Mr. Day has 3 pens So it is 3 + 8 = 11 pens", steps=steps
    )
    assert gold_steps(question) == ["Mr. Day has 3 pens", "So it is 3 + 8 = 11 pens"]


@pytest.mark.parametrize("annotations", [False, True])
def test_solutions_of_gsm8k_have_several_steps(shared_data: Path, annotations: bool) -> None:
    questions = list(GSM8K(data_dir=str(shared_data), annotations=annotations).questions("test"))
    assert all(len(gold_steps(question)) > 1 for question in questions)
    made = [(step, wrong_step(step)) for question in questions for step in gold_steps(question)]
    assert all(step != wrong for step, wrong in made)
    assert sum(not wrong for _, wrong in made) / len(made) < 0.03

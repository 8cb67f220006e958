import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError, PluginError
from cotdistill.methods.few_shot_cot import FewShotCot
from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.plugins import build
from cotdistill.records import Answer, Question, Request, Step
from cotdistill.strategies._guidance import gold_steps, wrong_step
from cotdistill.strategies.first_step import FirstStep
from cotdistill.tasks.gsm8k import GSM8K

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
        ({"step": 2}, "Ana has 3 apples. She buys 8, so 3 + 8 = 11. "),
        ({"step": 9}, "Ana has 3 apples. She buys 8, so 3 + 8 = 11. She eats 4, so 11 - 4 = 7. "),
        (
            {"when": "every"},
            "Ana has 3 apples. She buys 8, so 3 + 8 = 11. She eats 4, so 11 - 4 = 7. ",
        ),
        ({"step": 1, "mode": "only"}, "Ana has 3 apples. "),
        ({"step": 2, "mode": "only"}, "Own one. She buys 8, so 3 + 8 = 11. "),
        ({"step": 3, "mode": "only"}, "Own one. Own two. She eats 4, so 11 - 4 = 7. "),
        ({"step": 4, "mode": "only"}, ""),
        ({"unit": "equation"}, "3 + 8 = 11. "),
        (
            {"unit": "socratic", "step": 2},
            "How many at first? ** Ana has 3 apples. | How many then? ** She buys 8, so 3 + 8 = 11. | ",
        ),
        ({"control": "wrong", "unit": "equation"}, "3 + 8 = 12. "),
        ({"when": "uncertain"}, "Ana has 3 apples. "),
    ],
)
def test_what_the_student_goes_on_from(run: Run, settings: dict[str, Any], prefill: str) -> None:
    student = Student()
    answer = run(FirstStep(**settings), student=student)
    assert student.begins[-1] == prefill
    assert answer.answer == ("7" if prefill else "9")


def test_guide_tokens_and_leaks_are_noted(run: Run) -> None:
    answer = run(FirstStep(step=3), student=Student())
    assert answer.guide_tokens == 4 + 9 + 9
    assert [entry["leaks"] for entry in answer.trace if entry["role"] == "guide"] == [
        False,
        False,
        True,
    ]


def test_the_student_tokens_spent_on_its_own_first_steps_count(run: Run) -> None:
    alone = run(FirstStep(), student=Student())
    behind_own = run(FirstStep(step=2, mode="only"), student=Student())
    assert behind_own.completion_tokens > alone.completion_tokens


def test_a_model_can_guide(run: Run) -> None:
    teacher = {
        "Steps so far: none": " Ana has 3 of them. And more.",
        "Steps so far: Ana": " The answer is 7.",
    }
    student = Student()
    answer = run(FirstStep(source="teacher", step=2), student=student, teacher=teacher)
    assert student.begins == ["Ana has 3 of them. "]
    assert answer.guide_tokens == 7 + 4


def test_a_prompted_model_is_begun_with_a_space(run: Run) -> None:
    base = Student()
    run(FirstStep(), FewShotCot(role="base", shots=0), base=base)
    assert base.begins == [" Ana has 3 apples. "]


@pytest.mark.parametrize(
    ("mode", "begun"), [("prefix", [True, True, False]), ("only", [False, True, False])]
)
def test_a_role_that_writes_a_step_an_ask_is_begun_turn_by_turn(
    run: Run, mode: Any, begun: list[bool]
) -> None:
    solver, turn = Student(), iter([" One?", " Two?", " Three?", " done"])
    strategy = FirstStep(step=2, mode=mode, role="solver", turns=True)
    run(strategy, SocraticCot(), decomposer=lambda request, index: next(turn), solver=solver)
    assert [bool(begin) for begin in solver.begins] == begun
    assert solver.begins[1] == "She buys 8, so 3 + 8 = 11. "


def test_gold_must_be_there(run: Run, apples: Question) -> None:
    bare = dataclasses.replace(apples, rationale="", steps=())
    with pytest.raises(DataError, match="q1 has no gold solution to guide by"):
        run(FirstStep(), question=bare, student=Student())


def test_uncertainty_needs_a_whole_answer() -> None:
    with pytest.raises(PluginError, match="uncertain"):
        build("strategies", {"name": "first_step", "when": "uncertain", "turns": True}, FirstStep)


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        ("So 3 + 8 = 11.", "So 3 + 8 = 12."),
        ("The coin is heads up.", "The coin is tails up."),
        ("Ana swaps with Bo.", "Bo swaps with Ana."),
        ("It is a bird.", "It is not a bird."),
        ("It is not a bird.", "It is a bird."),
        (
            "She pays 5 * 12 = 60 dollars in 12 months.",
            "She pays 5 * 12 = 61 dollars in 12 months.",
        ),
        ("That is 3 + 8 = <<3+8=11>>11 pens.", "That is 3 + 8 = <<3+8=12>>12 pens."),
        ("That is 3 * 3 = $<<3*3=9>>9 for 9 pens.", "That is 3 * 3 = $<<3*3=10>>10 for 9 pens."),
        ("A pen costs 2.99 now.", "A pen costs 3.99 now."),
        ("There are 1,999 pens.", "There are 2,000 pens."),
        ("Heads becomes tails.", "Tails becomes tails."),
        ("With runner comes fox.", None),
    ],
)
def test_steps_are_made_wrong(step: str, wrong: str | None) -> None:
    assert wrong_step(step) == wrong


@pytest.mark.parametrize(
    ("settings", "change", "why"),
    [
        ({"step": 4, "mode": "only"}, {}, "the student's own solution has no step 4"),
        ({"unit": "socratic"}, {"steps": ()}, "gold has no step 1"),
        ({"unit": "socratic"}, {"steps": (Step("", "3 + 8 = 11.", "11"),)}, "gold has no step 1"),
        ({"unit": "equation"}, {"rationale": "She has seven."}, "gold has no step 1"),
        (
            {"control": "wrong"},
            {"rationale": "She eats some.", "steps": ()},
            "step 1 cannot be made wrong",
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
    assert gold_steps(question, "sentence") == ["Mr. Day has 3 pens", "So it is 3 + 8 = 11 pens"]


def test_an_annotation_is_no_equation_of_its_own(apples: Question) -> None:
    text = "She has 3 + 8 = <<3+8=11>>11 pens and pays a third, $<<11*3=33>>33."
    question = dataclasses.replace(apples, rationale=text)
    assert gold_steps(question, "equation") == ["3 + 8 = 11.", "11*3 = 33."]


@pytest.mark.parametrize("annotations", [False, True])
def test_solutions_of_gsm8k_have_several_steps(shared_data: Path, annotations: bool) -> None:
    questions = list(GSM8K(data_dir=str(shared_data), annotations=annotations).questions("test"))
    assert all(len(gold_steps(question, "sentence")) > 1 for question in questions)
    equations = [gold_steps(question, "equation") for question in questions]
    assert 3 < sum(map(len, equations)) / len(equations) < 3.5

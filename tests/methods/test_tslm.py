import asyncio

import pytest

from cotdistill.answers.number import Number
from cotdistill.methods.tslm import Tslm
from cotdistill.model.client import ModelClient
from cotdistill.records import Example, Question
from cotdistill.teachers.scripted import Scripted


@pytest.mark.parametrize(
    ("hint", "prompt"),
    [
        (
            True,
            "Q: Bo has 2 pens and loses 1. How many?\nAnswer: 1\n"
            "A: Bo has 2 pens. 2 - 1 = 1. The answer is 1.\n\n"
            "Q: Ana has 3 apples and buys 8 more. How many?\nAnswer: 11\nA:",
        ),
        (
            False,
            "Q: Bo has 2 pens and loses 1. How many?\n"
            "A: Bo has 2 pens. 2 - 1 = 1. The answer is 1.\n\n"
            "Q: Ana has 3 apples and buys 8 more. How many?\nA:",
        ),
    ],
)
def test_the_hint_stands_before_the_rationale(
    apples: Question, pens: Question, hint: bool, prompt: str
) -> None:
    method = Tslm(hint=hint, shots=1).with_exemplars([pens])
    assert method.teacher_prompt(apples) == prompt
    ask = ModelClient(
        {"teacher": Scripted(replies={prompt: " 3 + 8 = 11. The answer is 11."}).open()}
    )
    (rationale,) = asyncio.run(method.annotate(apples, ask, Number()))
    assert (rationale.text, rationale.answer) == ("3 + 8 = 11.", "11")


def test_an_exemplar_is_left_out_of_its_own_prompt_alone(
    apples: Question, pens: Question, quiz: Question
) -> None:
    method = Tslm(shots=2).with_exemplars([apples, pens])
    first, second = (f"Q: {one.block}\nAnswer: {one.gold}\nA:" for one in (apples, pens))
    shown = f"{second} Bo has 2 pens. 2 - 1 = 1. The answer is 1.\n\n"
    assert method.teacher_prompt(apples) == shown + first
    both = f"{first} {apples.rationale} The answer is 11.\n\n{shown}"
    assert method.teacher_prompt(quiz) == f"{both}Q: {quiz.block}\nAnswer: (B)\nA:"


def test_a_rationale_that_ends_elsewhere_says_so(apples: Question) -> None:
    ask = ModelClient(
        {
            "teacher": Scripted(
                replies=(" 3 + 8 = 12. The answer is 12.", " 11. The answer is 11.")
            ).open()
        }
    )
    rationales = asyncio.run(Tslm(samples=2).annotate(apples, ask, Number()))
    assert [rationale.answer for rationale in rationales] == ["12", "11"]


def test_the_student_learns_rationale_and_answer_sentence(apples: Question, quiz: Question) -> None:
    ask = ModelClient({"teacher": Scripted(replies=" 3 + 8 = 11. The answer is 11.").open()})
    (rationale,) = asyncio.run(Tslm().annotate(apples, ask, Number()))
    target = "3 + 8 = 11. The answer is 11."
    assert list(Tslm().examples(apples, rationale)) == [Example("student", apples.text, target)]
    student = ModelClient({"student": Scripted(replies=f" {target}").open()})
    assert asyncio.run(Tslm().solve(apples, student, Number())).answer == "11"

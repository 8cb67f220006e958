import asyncio

from cotdistill.answers.choice import Choice
from cotdistill.answers.number import Number
from cotdistill.methods.answer_only import AnswerOnly
from cotdistill.model.client import ModelClient
from cotdistill.records import Example, Question
from cotdistill.teachers.scripted import Scripted


def test_it_learns_the_gold_answer_and_needs_no_teacher(apples: Question, quiz: Question) -> None:
    method = AnswerOnly()
    (none,) = asyncio.run(method.annotate(apples, ModelClient({}), Number()))
    assert (none.source, none.text, none.answer) == ("none", "", "11")
    assert list(method.examples(apples, none)) == [Example("student", apples.text, "11")]
    (example,) = method.examples(quiz, none)
    assert example.target == "(B)"
    assert example.prompt.endswith(
        "Context: Birds have wings.\nOptions: (A) stone (B) bird (C) fish"
    )


def test_the_student_is_asked_the_plain_question(apples: Question, quiz: Question) -> None:
    ask = ModelClient({"student": Scripted(replies={"Ana": " 11", "flies": "(B)"}).open()})
    answer = asyncio.run(AnswerOnly().solve(apples, ask, Number()))
    assert answer.answer == "11"
    assert answer.trace == ({"role": "student", "prompt": apples.text, "text": " 11"},)
    assert answer.completion_tokens == 1
    assert asyncio.run(AnswerOnly().solve(quiz, ask, Choice())).answer == "B"

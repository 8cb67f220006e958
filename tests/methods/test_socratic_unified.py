import asyncio

from cotdistill.answers.number import Number
from cotdistill.methods.socratic_cot import SocraticCot, teacher_prompt
from cotdistill.methods.socratic_unified import SocraticUnified
from cotdistill.model.client import ModelClient
from cotdistill.records import Example, Question
from cotdistill.teachers.scripted import Scripted

REPLY = "How many at first? ** Ana has 3.\nHow many then? ** 3 + 8 = 11 apples.\n#### 11"
TARGET = "How many at first? ** Ana has 3. | How many then? ** 3 + 8 = 11 apples. | #### 11"


def test_the_student_writes_sub_questions_and_solutions(apples: Question) -> None:
    method = SocraticUnified()
    assert method.rounds == (("student",),)
    ask = ModelClient({"teacher": Scripted(replies={teacher_prompt(apples): REPLY}).open()})
    (rationale,) = asyncio.run(method.annotate(apples, ask, Number()))
    assert list(method.examples(apples, rationale)) == [Example("student", apples.text, TARGET)]


def test_the_answer_is_read_behind_the_last_mark(apples: Question) -> None:
    replies = (f" {TARGET}", " How many? ** 3 + 8 = 11. | #### 12")
    ask = ModelClient({"student": Scripted(replies={"Ana": replies[1]}).open()})
    assert asyncio.run(SocraticUnified().solve(apples, ask, Number())).answer == "12"
    ask = ModelClient({"student": Scripted(replies=replies[0]).open()})
    answer = asyncio.run(SocraticUnified().solve(apples, ask, Number()))
    assert (answer.answer, len(answer.trace)) == ("11", 1)


def test_both_variants_are_measured_alike(apples: Question) -> None:
    ask = ModelClient({"student": Scripted(replies=f" {TARGET}").open()})
    answer = asyncio.run(SocraticUnified().solve(apples, ask, Number()))
    figures = SocraticUnified().measures([(apples, answer)])
    assert figures == SocraticCot().measures([(apples, answer)])
    assert (figures["sub_questions"], figures["same_count"]) == (2, 1)

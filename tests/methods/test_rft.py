import asyncio

from cotdistill.answers.number import Number
from cotdistill.methods.rft import Rft
from cotdistill.model.client import ModelClient
from cotdistill.records import Example, Question, Rationale, Request
from cotdistill.teachers.scripted import Scripted

FIRST = [Rationale("q1", "3 + 8 = 11.", "11")]
OWN = (" So 3+8 = 11. --> 11", " 8 + 3 = 11. --> 11", " 1 --> 1", " 8 + 3 = 11! --> 11")


def test_right_solutions_of_its_own_are_added_one_of_each_list_of_equations(
    apples: Question,
) -> None:
    asked = list[tuple[str, int, float]]()

    def student(request: Request, index: int) -> str:
        asked.append((str(request.prompt), index, request.temperature))
        return OWN[index]

    ask = ModelClient({"student": Scripted(replies=student).open()})
    kept = asyncio.run(Rft(own_samples=4).revise(apples, FIRST, ask, Number(), 1))
    assert [(one.text, one.source) for one in kept] == [
        ("3 + 8 = 11.", "teacher"),
        ("8 + 3 = 11.", "student"),
    ]
    assert sorted(asked) == [(apples.text, index, 0.7) for index in range(4)]


def test_it_is_fine_tune_cot_in_two_rounds(apples: Question) -> None:
    method = Rft(source="gold")
    (gold,) = asyncio.run(method.annotate(apples, ModelClient({}), Number()))
    assert (gold.text, gold.source) == (apples.rationale, "gold")
    assert (method.rounds, method.own_samples) == ((("student",), ("student",)), 8)
    assert list(method.examples(apples, FIRST[0])) == [
        Example("student", apples.text, "3 + 8 = 11. --> 11")
    ]
    ask = ModelClient({"student": Scripted(replies=" 3 + 8 = 11. --> 11").open()})
    assert asyncio.run(method.solve(apples, ask, Number())).answer == "11"

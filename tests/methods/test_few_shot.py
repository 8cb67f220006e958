import asyncio

from cotdistill.answers.number import Number
from cotdistill.methods.few_shot import FewShot
from cotdistill.model.client import ModelClient
from cotdistill.records import Question
from cotdistill.teachers.scripted import Scripted


def test_exemplars_show_answers_alone(apples: Question, pens: Question) -> None:
    method = FewShot(shots=1).with_exemplars([pens])
    ask = ModelClient({"teacher": Scripted(replies=" 11.").open()})
    answer = asyncio.run(method.solve(apples, ask, Number()))
    assert answer.answer == "11"
    assert answer.trace[0]["prompt"] == (
        "Q: Bo has 2 pens and loses 1. How many?\nA: The answer is 1.\n\n"
        "Q: Ana has 3 apples and buys 8 more. How many?\nA: The answer is"
    )


def test_the_recipe_says_how_many_and_which() -> None:
    method = FewShot(shots=3, exemplar_seed=7, role="base")
    assert (method.exemplar_count, method.exemplar_draw, method.prompted_role) == (3, 7, "base")

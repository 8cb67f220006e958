import asyncio

from cotdistill.answers.number import Number
from cotdistill.methods.zero_shot import ZeroShot
from cotdistill.model.client import ModelClient
from cotdistill.records import Question
from cotdistill.teachers.scripted import Scripted


def test_the_answer_is_asked_at_once(apples: Question) -> None:
    ask = ModelClient({"base": Scripted(replies=" 11.\nQ: Bo has 5 pens").open()})
    method = ZeroShot(role="base")
    answer = asyncio.run(method.solve(apples, ask, Number()))
    assert answer.answer == "11"
    assert (
        answer.trace[0]["prompt"]
        == "Q: Ana has 3 apples and buys 8 more. How many?\nA: The answer is"
    )
    assert (method.rounds, method.prompted_role) == ((), "base")

import asyncio

from cotdistill.answers.number import Number
from cotdistill.methods.answer_only import AnswerOnly
from cotdistill.model.client import ModelClient
from cotdistill.records import Answer, Question
from cotdistill.strategies.greedy import Greedy
from cotdistill.teachers.scripted import Scripted


def test_it_is_the_method_itself() -> None:
    question, kind = Question("q", "How many?", "3"), Number()
    ask = ModelClient({"student": Scripted(replies=" 3").open()})

    async def solve(question: Question, ask: ModelClient) -> Answer:
        return await AnswerOnly().solve(question, ask, kind)

    answer = asyncio.run(Greedy().run(solve, question, ask, kind))
    assert answer == asyncio.run(AnswerOnly().solve(question, ask, kind))

import asyncio

from cotdistill.answers.number import Number
from cotdistill.contracts import Ask
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.model.client import ModelClient
from cotdistill.records import Answer, Question, Request
from cotdistill.strategies.greedy import Greedy
from cotdistill.strategies.self_consistency import SelfConsistency
from cotdistill.teachers.scripted import Scripted


def test_one_ask_at_temperature_zero() -> None:
    seen = list[tuple[str, float, int]]()

    def student(request: Request, index: int) -> str:
        seen.append((str(request.prompt), request.temperature, index))
        return " It is 3. --> 3"

    async def solve(question: Question, ask: Ask) -> Answer:
        return await FineTuneCot().solve(question, ask, Number())

    question, ask = (
        Question("q", "How many?", "3"),
        ModelClient({"student": Scripted(replies=student).open()}),
    )
    answer = asyncio.run(Greedy().run(solve, question, ask, Number()))
    assert (answer.answer, answer.text, answer.votes) == ("3", " It is 3. --> 3", ())
    assert seen == [("How many?", 0.0, 0)]
    # The same method is asked otherwise by another strategy, so the above is the strategy's doing.
    asyncio.run(SelfConsistency(n=2).run(solve, question, ask, Number()))
    assert seen[1:] == [("How many?", 0.7, 0), ("How many?", 0.7, 1)]

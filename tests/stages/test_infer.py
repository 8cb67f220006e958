"""Inference keeps every finished answer, resumes after a kill, and lists what failed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cotdistill.answers.number import Number
from cotdistill.contracts import AnswerType, Ask, Method
from cotdistill.errors import QuestionFailed
from cotdistill.records import Answer, Completion, Prompt, Question
from cotdistill.stages.infer import answer_questions
from cotdistill.strategies.greedy import Greedy
from cotdistill.util.files import append_jsonl, read_records

QUESTIONS = [Question(f"q/{index}", f"{index} + 1?", str(index + 1)) for index in range(5)]


class Echo(Method):
    """Asks the question as it is."""

    async def solve(self, question: Question, ask: Ask, answer_type: AnswerType) -> Answer:
        (completion,) = await ask(question.text, role="student")
        return Answer(question.id, answer_type.extract(completion.text), completion.text)


def run(out: Path) -> tuple[list[Answer], list[str]]:
    asked: list[str] = []

    async def ask(prompt: Prompt, **settings: Any) -> list[Completion]:
        assert isinstance(prompt, str)
        asked.append(prompt)
        if prompt.startswith("3"):
            raise QuestionFailed("the prompt is too long", "too long")
        return [Completion(str(int(prompt[0]) + 1))]

    asyncio.run(
        answer_questions(QUESTIONS, Echo(), Greedy(), ask, Number(), out, max_concurrency=2)
    )
    return list(read_records(out, Answer)), asked


def test_answers_in_order_and_failures_listed(tmp_path: Path) -> None:
    answers, asked = run(tmp_path / "answers.jsonl")
    assert [answer.question_id for answer in answers] == [question.id for question in QUESTIONS]
    assert [answer.answer for answer in answers] == ["1", "2", "3", None, "5"]
    assert answers[3].text == "[failed: too long] the prompt is too long"
    assert len(asked) == 5


def test_what_may_pass_is_asked_again_by_a_second_call(tmp_path: Path) -> None:
    asked: list[str] = []
    away = {"1 + 1?", "3 + 1?"}

    async def ask(prompt: Prompt, **settings: Any) -> list[Completion]:
        assert isinstance(prompt, str)
        asked.append(prompt)
        if prompt in away:
            raise QuestionFailed("the endpoint is away", "server error", transient=True)
        return [Completion(str(int(prompt[0]) + 1))]

    def answer() -> tuple[int, list[str | None]]:
        out = tmp_path / "answers.jsonl"
        failures = asyncio.run(answer_questions(QUESTIONS, Echo(), Greedy(), ask, Number(), out))
        return failures.transient, [one.answer for one in read_records(out, Answer)]

    assert answer() == (2, ["1", None, "3", None, "5"])
    asked.clear()
    away.clear()
    assert answer() == (0, ["1", "2", "3", "4", "5"])
    assert asked == ["1 + 1?", "3 + 1?"]


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    with (tmp_path / "answers.jsonl.log").open("w") as log:
        append_jsonl(log, Answer("q/2", "3", "from before the kill").to_json())
        log.write('{"question_id": "q/0", "ans')
    answers, asked = run(tmp_path / "answers.jsonl")
    assert [answer.answer for answer in answers] == ["1", "2", "3", None, "5"]
    assert answers[2].text == "from before the kill"
    assert len(asked) == 4
    assert not (tmp_path / "answers.jsonl.log").exists()

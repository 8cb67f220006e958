"""The public fake teacher."""

from __future__ import annotations

import asyncio

import pytest

from cotdistill.contracts import Teacher
from cotdistill.errors import FatalTeacherError, QuestionFailed
from cotdistill.plugins import build
from cotdistill.records import Completion, Message, Request
from cotdistill.teachers.scripted import Scripted


def texts(teacher: Teacher, request: Request, samples: int = 1) -> list[str]:
    return [
        completion.text
        for completion in asyncio.run(teacher.open().complete(request, range(samples)))
    ]


def test_a_bare_name_is_enough() -> None:
    assert texts(build("teachers", "scripted", Teacher), Request("Q")) == [" The answer is 1."]


def test_replies_go_round() -> None:
    assert texts(Scripted(replies=("a", "b")), Request("Q"), samples=3) == ["a", "b", "a"]


def test_replies_by_part_of_the_prompt() -> None:
    teacher = build(
        "teachers", {"name": "scripted", "replies": {"apples": "11", "pears": ["5", "6"]}}, Teacher
    )
    assert texts(teacher, Request("How many apples?")) == ["11"]
    assert texts(teacher, Request((Message("user", "How many pears?"),)), samples=2) == ["5", "6"]
    with pytest.raises(QuestionFailed) as caught:
        texts(teacher, Request("How many plums?"))
    assert caught.value.reason == "not scripted"


def test_replies_by_function_with_begin_and_stop() -> None:
    teacher = Scripted(replies=lambda request, index: f"{index} then\nmore")
    assert texts(teacher, Request("Q", prefill=" So ", stop=("\n",)), samples=2) == [
        " So 0 then",
        " So 1 then",
    ]


def test_faults() -> None:
    teacher = Scripted(faults={"bad": "question failed", "stop": "fatal"}, latency_s=0.001)
    with pytest.raises(QuestionFailed):
        texts(teacher, Request("a bad one"))
    with pytest.raises(FatalTeacherError):
        texts(teacher, Request("stop here"))


def test_tokens_are_words() -> None:
    (completion,) = asyncio.run(Scripted(replies="one two").open().complete(Request("a b c"), [4]))
    assert completion == Completion("one two", 4, prompt_tokens=3, completion_tokens=2)

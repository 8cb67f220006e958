import asyncio

import pytest

from cotdistill.errors import QuestionFailed
from cotdistill.model.client import ModelClient
from cotdistill.prompting.transcript import one, reasoning_of, sentences
from cotdistill.records import Completion, Request
from cotdistill.teachers.scripted import Scripted


def test_sentences_are_steps() -> None:
    assert sentences(" Ana has 3.5 apples. She buys 8, so 3.5 + 8 = 11.5! Done?\nYes.") == [
        "Ana has 3.5 apples.",
        "She buys 8, so 3.5 + 8 = 11.5!",
        "Done?",
        "Yes.",
    ]
    assert sentences("  ") == []


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        (" 3 + 8 = 11. The answer is 11.", "3 + 8 = 11."),
        (" 3 + 8 = 11.", "3 + 8 = 11."),
        ("The answer is 1.", ""),
    ],
)
def test_reasoning_stops_before_the_answer_sentence(text: str, reasoning: str) -> None:
    assert reasoning_of(text) == reasoning


def test_a_teacher_without_a_completion_fails_the_question_alone() -> None:
    class Empty:
        def identity(self) -> dict[str, str]:
            return {}

        async def complete(self, request: Request, sample_indices: object) -> list[Completion]:
            return []

        async def close(self) -> None: ...

    with pytest.raises(QuestionFailed) as failure:
        asyncio.run(one(ModelClient({"teacher": Empty()}), "Q: what?"))
    assert failure.value.reason == "no completion"


def test_an_answer_sums_its_asks() -> None:
    assert (
        asyncio.run(one(ModelClient({"teacher": Scripted(replies=" yes").open()}), "Q: ok?")).text
        == " yes"
    )

import asyncio

import pytest

from cotdistill.answers.number import Number
from cotdistill.errors import QuestionFailed
from cotdistill.model.client import ModelClient
from cotdistill.prompting.base import (
    FewShotMethod,
    Transcript,
    continued,
    prefill,
    sentences,
    single,
    without_conclusion,
)
from cotdistill.records import Answer, Completion, Question, Request
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
    assert without_conclusion(text) == reasoning


def test_a_teacher_without_a_completion_fails_the_question_alone() -> None:
    class Empty:
        def identity(self) -> dict[str, str]:
            return {}

        async def complete(self, request: Request, sample_indices: object) -> list[Completion]:
            return []

        async def close(self) -> None: ...

    with pytest.raises(QuestionFailed) as failure:
        asyncio.run(single(ModelClient({"teacher": Empty()}), "Q: what?"))
    assert failure.value.reason == "no completion"


def test_an_answer_sums_its_asks() -> None:
    replies = {"Q: how many?": " Three and four.", "Q: in all?": " The answer is 7."}
    ask = ModelClient({"base": Scripted(replies=replies).open()})

    async def answer() -> Answer:
        transcript = Transcript(Question("q", "how many?", "7"), ask, Number())
        first = await transcript.ask("Q: how many?", role="base")
        second = await transcript.ask("Q: in all?", role="base", max_tokens=5)
        return transcript.answer(first.text + second.text, "The answer is")

    summed = asyncio.run(answer())
    assert (summed.question_id, summed.answer) == ("q", "7")
    assert (summed.prompt_tokens, summed.completion_tokens, summed.guide_tokens) == (6, 7, 0)
    assert summed.trace == (
        {"role": "base", "prompt": "Q: how many?", "text": " Three and four."},
        {"role": "base", "prompt": "Q: in all?", "text": " The answer is 7."},
    )


@pytest.mark.parametrize(("guide", "tokens"), [(True, (1, 1)), (False, (2, 0))])
def test_asks_before_an_answer_count_for_who_made_them(
    guide: bool, tokens: tuple[int, int]
) -> None:
    async def answer() -> Answer:
        ask = ModelClient({"base": Scripted(replies=" What?").open()})
        before = Transcript(Question("q", "how many?", "7"), ask, Number())
        await before.ask("Q: which question?", role="base")
        given = Answer("q", "7", "It is 7.", ({"role": "student"},), (), 4, 1)
        return before.before(given, guide=guide)

    both = asyncio.run(answer())
    assert (both.completion_tokens, both.guide_tokens) == tokens
    assert (both.prompt_tokens, [entry["role"] for entry in both.trace]) == (7, ["base", "student"])


def test_a_question_is_not_its_own_exemplar_by_id_or_text() -> None:
    pool = [Question(f"train/{i}", f"Question {i}?", str(i), rationale="Because.") for i in (1, 3)]
    method = FewShotMethod(shots=2).with_exemplars(pool)
    assert method.exemplars_for(pool[1]) == pool[:1]
    assert method.exemplars_for(Question("file/7", "question  3?", "3")) == pool[:1]
    assert method.exemplars_for(Question("file/7", "Question 3?", "3", context="Else.")) == pool
    assert method.exemplars_for(Question("train/9", "Question 9?", "9")) == pool


@pytest.mark.parametrize(
    ("role", "parts", "begins"),
    [("student", ("One.", "Two."), "One. Two. "), ("base", ("One.",), " One. "), ("base", (), "")],
)
def test_an_untrained_model_begins_with_a_space(
    role: str, parts: tuple[str, ...], begins: str
) -> None:
    assert prefill(role, *parts) == begins


def test_a_reply_follows_its_prompt_after_white_space() -> None:
    assert continued("A:", " 3.") == continued("A:", "3.") == "A: 3."
    assert continued("A:", "") == "A:"

import asyncio
from typing import Any

import pytest

from cotdistill.answers.choice import Choice
from cotdistill.methods.sci_cot import SciCot, block, teacher_prompt
from cotdistill.model.client import ModelClient
from cotdistill.records import Completion, Prompt, Question, Rationale
from cotdistill.teachers.scripted import Scripted

BLOCK = (
    "Question: Which of these flies?\nContext: Birds have wings.\n"
    "Options: (A) stone (B) bird (C) fish"
)
TAUGHT = Rationale("q3", "Birds have wings, so (B), not (A).", "B")


def test_the_teacher_explains_the_answer_it_is_given(quiz: Question) -> None:
    assert teacher_prompt(quiz, hint=True) == f"{BLOCK}\nAnswer: (B)\nSolution:"
    assert teacher_prompt(quiz) == f"{BLOCK}\nSolution:"
    assert block(Question("q", "Why?", "x")) == "Question: Why?\nContext: N/A"


@pytest.mark.parametrize(
    ("hint", "reply", "answer"),
    [
        (True, " Birds have wings.", "B"),
        (True, " Stones fly. The answer is (A).", "A"),
        (True, " Stones fly. Therefore, the answer is (A).", "A"),
        (True, " Stones fly.\nAnswer: A", "A"),
        (True, " Stones fly, so \\boxed{A}", "A"),
        (True, " I am not sure. The answer is", None),
        (True, " ", None),
        (True, "<think>The answer is (A)?</think> Birds have wings.", "B"),
        (False, " Birds have wings. The answer is (B).", "B"),
        (False, " Fish swim. The answer is (C).", "C"),
    ],
)
def test_what_a_rationale_concludes(
    quiz: Question, hint: bool, reply: str, answer: str | None
) -> None:
    ask = ModelClient({"teacher": Scripted(replies=reply).open()})
    (rationale,) = asyncio.run(SciCot(hint=hint).annotate(quiz, ask, Choice()))
    assert rationale.answer == answer
    assert "The answer is" not in rationale.text


@pytest.mark.parametrize(("finish", "extra"), [("length", {"truncated": True}), ("stop", {})])
def test_a_reply_that_the_length_limit_cut_off_says_so(
    quiz: Question, finish: str, extra: dict[str, bool]
) -> None:
    async def ask(prompt: Prompt, **settings: Any) -> list[Completion]:
        return [Completion("Birds have", finish_reason=finish)]

    (rationale,) = asyncio.run(SciCot().annotate(quiz, ask, Choice()))
    assert rationale.extra == extra


def test_two_models_learn_from_one_rationale(quiz: Question) -> None:
    first, second = SciCot().examples(quiz, TAUGHT)
    assert (first.role, first.prompt, first.target) == (
        "rationale",
        BLOCK,
        f"Solution: {TAUGHT.text}",
    )
    assert (second.role, second.target) == ("answer", "The answer is (B).")
    assert second.prompt == f"{BLOCK}\nSolution: {TAUGHT.text}\nAnswer:"


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [
        ({}, (("rationale",), ("answer",))),
        ({"train_rationale": "mixed"}, (("rationale",), ("answer",))),
        ({"train_rationale": "teacher"}, (("rationale", "answer"),)),
        ({"stages": "rationale_answer"}, (("student",),)),
    ],
)
def test_rounds(settings: dict[str, Any], rounds: tuple[tuple[str, ...], ...]) -> None:
    assert SciCot(**settings).rounds == rounds


@pytest.mark.parametrize(
    ("train", "texts"), [("generated", ["It flies."]), ("mixed", [TAUGHT.text, "It flies."])]
)
def test_the_answer_model_learns_from_what_the_first_stage_writes(
    quiz: Question, train: Any, texts: list[str]
) -> None:
    ask = ModelClient({"rationale": Scripted(replies={BLOCK: " Solution: It flies."}).open()})
    revised = asyncio.run(SciCot(train_rationale=train).revise(quiz, [TAUGHT], ask, Choice(), 1))
    assert [rationale.text for rationale in revised] == texts
    assert revised[-1].source == "student"


@pytest.mark.parametrize(
    ("stages", "target"),
    [
        ("rationale_answer", f"Solution: {TAUGHT.text} The answer is (B)."),
        ("answer_rationale", f"The answer is (B). Solution: {TAUGHT.text}"),
    ],
)
def test_one_stage_baselines(quiz: Question, stages: Any, target: str) -> None:
    method = SciCot(stages=stages)
    (example,) = method.examples(quiz, TAUGHT)
    assert (example.role, example.target) == ("student", target)
    ask = ModelClient({"student": Scripted(replies=f" {target} ").open()})
    assert asyncio.run(method.solve(quiz, ask, Choice())).answer == "B"


@pytest.mark.parametrize(
    ("test_rationale", "writer"), [("own", "rationale"), ("teacher", "teacher")]
)
def test_the_answer_is_inferred_from_the_rationale(
    quiz: Question, test_rationale: Any, writer: str
) -> None:
    answerer = Scripted(replies={"Solution: Wings fly.\nAnswer:": " The answer is (B)."})
    ask = ModelClient(
        {writer: Scripted(replies=" Solution: Wings fly.").open(), "answer": answerer.open()}
    )
    answer = asyncio.run(SciCot(test_rationale=test_rationale).solve(quiz, ask, Choice()))
    assert answer.answer == "B"
    assert [entry["role"] for entry in answer.trace] == [writer, "answer"]
    assert "(B)" not in answer.trace[0]["prompt"].replace("(B) bird", "")

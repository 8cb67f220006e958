"""A loaded system answers as the stage infer did, from threads and loops, as the caller wishes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import QuestionFailed
from cotdistill.records import Question
from cotdistill.runs.run import Run, open_run
from cotdistill.serving.asks import Sampling, Unsupported
from cotdistill.serving.system import Reply, System, load_system, question_of

Load = Callable[..., System]


@pytest.fixture(scope="session")
def run(folder: Path) -> Run:
    return open_run(folder)


@pytest.mark.parametrize("method", ["cot", "sci", "asked"])
@pytest.mark.parametrize("strategy", ["greedy", "voting"])
def test_it_answers_as_the_run_did(system: Load, run: Run, method: str, strategy: str) -> None:
    rows = [
        row
        for row in run.answers()
        if (row["method"], row["strategy"], row["split"]) == (method, strategy, "test")
    ]
    assert len(rows) == 8
    answers = system(method, strategy).answers([row["question"] for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        told = answer.answer, answer.text, list(answer.votes), answer.completion_tokens
        assert told == (row["answer"], row["text"], row["votes"], row["completion_tokens"])


def reply(system: System, question: str, **sampling: Any) -> Reply:
    return asyncio.run(system.reply(question, Sampling(**sampling)))


def test_it_works_inside_a_running_loop_and_from_several(system: Load) -> None:
    async def inside() -> list[str]:
        one = system()
        replies = await asyncio.gather(*(one.reply(f"{n} + 1?") for n in range(4)))
        return [told.answer.text for told in replies] + [one.answer("0 + 1?").text]

    texts = asyncio.run(inside())
    assert texts == asyncio.run(inside()) and texts[0] == texts[-1]


def test_a_caller_chooses_temperature_seed_and_draw(system: Load) -> None:
    def text(**sampling: Any) -> str:
        return reply(system(), "3 + 1?", temperature=2.0, **sampling).answer.text

    drawn = {text(seed=seed, draw=draw) for seed in range(3) for draw in range(2)}
    assert len(drawn) > 3
    assert text(seed=2, draw=1) == text(seed=2, draw=1)
    assert text(top_p=1e-9) == reply(system(), "3 + 1?").answer.text


def test_what_a_system_cannot_do_is_refused(system: Load) -> None:
    with pytest.raises(Unsupported, match="temperature: this system's strategy sets its own"):
        reply(system(strategy="voting"), "3 + 1?", temperature=0.5)
    with pytest.raises(Unsupported, match="max_tokens: this system writes several texts at once"):
        reply(system(strategy="voting"), "3 + 1?", max_tokens=4)
    with pytest.raises(Unsupported, match="stop: this system writes several texts"):
        reply(system("sci"), "3 + 1?", stop=("x",))


def test_a_limit_of_tokens_holds_for_the_whole_answer(system: Load) -> None:
    whole = reply(system(), "3 + 1?")
    cut = reply(system(), "3 + 1?", max_tokens=2)
    assert cut.finish_reason == "length" and cut.answer.completion_tokens == 2
    assert whole.answer.text.startswith(cut.answer.text)
    stages = reply(system("sci"), "3 + 1?")
    first = stages.completions[0][1].completion_tokens
    both = reply(system("sci"), "3 + 1?", max_tokens=first)
    assert both.finish_reason == "length" and len(both.completions) == 1
    assert both.answer.answer is None and both.answer.text == stages.completions[0][1].text


def test_a_stop_string_ends_the_text(system: Load) -> None:
    whole = reply(system(), "3 + 1?").answer.text
    mark = whole[4:7]
    assert reply(system(), "3 + 1?", stop=(mark,)).answer.text == whole[: whole.index(mark)]


def test_text_is_handed_on_as_it_is_written(system: Load) -> None:
    heard: list[str] = []
    told = asyncio.run(system("sci").reply("3 + 1?", Sampling(), heard.append))
    assert "".join(heard) == "\n".join(one.text for _, one in told.completions)


def test_a_prompt_that_is_too_long_fails_alone(system: Load) -> None:
    with pytest.raises(QuestionFailed, match="leaves no room"):
        system().answer("1 + 1? " * 400)
    assert system().answer("1 + 1?").text


def test_a_run_folder_that_was_moved_is_still_read(folder: Path, system: Load) -> None:
    moved = folder.with_name("elsewhere")
    folder.rename(moved)
    try:
        with load_system(moved, method="cot", strategy="greedy") as there:
            assert there.answer("1 + 1?").text == system().answer("1 + 1?").text
    finally:
        moved.rename(folder)


QUESTIONS = [
    Question("asked", "Which is a colour?", options=("red", "two")),
    Question("asked", "Who came?", context="Ana came.", options=("Ana", "Ben")),
    Question("asked", "What is 3 + 8?"),
    Question("asked", "Who came?\nSay it.", context="Ana came.\nBen left."),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_read_back_from_its_block(question: Question) -> None:
    assert question_of(question.block) == question


def test_options_in_other_writing_are_a_choice_tasks_alone() -> None:
    text = "Which? Answer choices: (A) red, (B) blue."
    assert question_of(text) == Question("asked", text)
    assert question_of(text, choice=True) == Question("asked", "Which?", options=("red", "blue"))

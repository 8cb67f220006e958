import asyncio
import dataclasses

import pytest

from cotdistill.answers.number import Number
from cotdistill.answers.yes_no import YesNo
from cotdistill.errors import DataError
from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.model.client import ModelClient
from cotdistill.prompting.socratic import read_steps
from cotdistill.records import Question, Rationale, Step
from cotdistill.teachers.scripted import Scripted

DECOMPOSITION = (
    "How many at first? ** Ana has 3 apples.\nHow many then? ** 3 + 8 = 11 apples.\n#### 11"
)


def rationale_of(question: Question, reply: str = DECOMPOSITION) -> Rationale:
    ask = ModelClient(
        {"teacher": Scripted(replies={"Break the question into sub-questions": reply}).open()}
    )
    (rationale,) = asyncio.run(SocraticCot().annotate(question, ask, Number()))
    return rationale


def test_the_teacher_writes_steps_with_sub_answers(apples: Question) -> None:
    rationale = rationale_of(apples)
    assert rationale.answer == "11"
    assert rationale.steps == (
        Step("How many at first?", "Ana has 3 apples.", "3"),
        Step("How many then?", "3 + 8 = 11 apples.", "11"),
    )


@pytest.mark.parametrize("reply", ["I cannot help.", "", "#### 11", "How many? **"])
def test_a_reply_without_steps_has_no_answer(apples: Question, reply: str) -> None:
    assert rationale_of(apples, reply or " ").answer is None


def test_a_sub_answer_of_another_kind_is_its_last_word() -> None:
    steps = read_steps(
        "How is it after Bo? ** Bo flips it, so it is tails.\n#### no",
        Question("q", "Heads?", "no"),
        YesNo(),
    )
    assert steps == (Step("How is it after Bo?", "Bo flips it, so it is tails.", "tails"),)


def test_gold_steps_are_the_other_source(apples: Question) -> None:
    (rationale,) = asyncio.run(
        SocraticCot(source="gold").annotate(apples, ModelClient({}), Number())
    )
    assert (rationale.steps, rationale.source, rationale.answer) == (apples.steps, "gold", "11")
    written = dataclasses.replace(
        apples, steps=(), rationale="How many? ** 3 + 8 = <<3+8=11>>11 apples."
    )
    (rationale,) = asyncio.run(
        SocraticCot(source="gold").annotate(written, ModelClient({}), Number())
    )
    assert rationale.steps == (Step("How many?", "3 + 8 = <<3+8=11>>11 apples.", "11"),)


@pytest.mark.parametrize("steps", [(), (Step("", "3 + 8 = 11.", "11"),)])
def test_gold_steps_without_sub_questions_are_refused(
    apples: Question, steps: tuple[Step, ...]
) -> None:
    with pytest.raises(DataError, match="q1 has no gold sub-questions"):
        asyncio.run(
            SocraticCot(source="gold").annotate(
                dataclasses.replace(apples, steps=steps), ModelClient({}), Number()
            )
        )


def test_each_turn_is_an_example_of_its_role(apples: Question) -> None:
    examples = [
        (e.role, e.prompt.removeprefix(apples.text), e.target)
        for e in SocraticCot().examples(apples, rationale_of(apples))
    ]
    first, second = (
        " | How many at first? ** Ana has 3 apples.",
        " | How many then? ** 3 + 8 = 11 apples.",
    )
    assert examples == [
        ("decomposer", " |", "How many at first?"),
        ("solver", " | How many at first? **", "Ana has 3 apples. --> 3"),
        ("decomposer", f"{first} |", "How many then?"),
        ("solver", f"{first} | How many then? **", "3 + 8 = 11 apples. --> 11"),
        ("decomposer", f"{first}{second} |", "done"),
    ]


SOLVER = Scripted(
    replies={
        "How many then? **": " 3 + 8 = 11. --> 11",
        "How many at first? **": " Ana has 3. --> 3",
    }
)


DECOMPOSER = Scripted(
    replies={"3 + 8 = 11": " done", "Ana has 3. |": " How many then?", "Ana": " How many at first?"}
)


def test_the_students_take_turns_until_done(apples: Question) -> None:
    ask = ModelClient({"decomposer": DECOMPOSER.open(), "solver": SOLVER.open()})
    answer = asyncio.run(SocraticCot().solve(apples, ask, Number()))
    assert answer.answer == "11"
    assert [entry["role"] for entry in answer.trace] == ["decomposer", "solver"] * 2 + [
        "decomposer"
    ]
    assert (
        answer.text
        == "How many at first? ** Ana has 3. --> 3\nHow many then? ** 3 + 8 = 11. --> 11"
    )


@pytest.mark.parametrize(("replies", "turns"), [(" How many at first?", 3), (" Done.", 1)])
def test_a_decomposer_that_repeats_itself_or_stops_at_once_ends_it(
    apples: Question, replies: str, turns: int
) -> None:
    ask = ModelClient({"decomposer": Scripted(replies=replies).open(), "solver": SOLVER.open()})
    answer = asyncio.run(SocraticCot().solve(apples, ask, Number()))
    assert len(answer.trace) == turns
    assert answer.answer == ("3" if turns == 3 else None)


def test_a_last_turn_that_is_cut_does_not_hand_on_an_earlier_result(apples: Question) -> None:
    solver = Scripted(
        replies={"How many then? **": " 3 + 8 = 11", "How many at first? **": " Ana has 3. --> 3"}
    )
    ask = ModelClient({"decomposer": DECOMPOSER.open(), "solver": solver.open()})
    assert asyncio.run(SocraticCot().solve(apples, ask, Number())).answer == "11"


def test_there_is_a_limit_of_steps(apples: Question) -> None:
    def ever_new(request: object, index: int) -> str:
        ever_new.count += 1
        return f" Question {ever_new.count}?"

    ever_new.count = 0
    ask = ModelClient(
        {
            "decomposer": Scripted(replies=ever_new).open(),
            "solver": Scripted(replies=" 1. --> 1").open(),
        }
    )
    answer = asyncio.run(SocraticCot(max_steps=4).solve(apples, ask, Number()))
    assert len(answer.trace) == 8


def test_gold_sub_questions_are_the_upper_bound(apples: Question) -> None:
    solver = Scripted(
        replies={"has she then? **": " 3 + 8 = 11. --> 11", "at first? **": " Ana has 3. --> 3"}
    )
    method = SocraticCot(sub_questions="gold")
    answer = asyncio.run(method.solve(apples, ModelClient({"solver": solver.open()}), Number()))
    assert (answer.answer, method.rounds) == ("11", (("solver",),))

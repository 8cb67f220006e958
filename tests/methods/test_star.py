import asyncio
import dataclasses

import pytest

from cotdistill.answers.number import Number
from cotdistill.errors import DataError
from cotdistill.methods.star import Star
from cotdistill.model.client import ModelClient
from cotdistill.records import Question, Rationale
from cotdistill.teachers.scripted import Scripted

FIRST = [Rationale("q1", "3 + 8 = 11.", "11")]


def revise(method: Star, question: Question, *replies: str, hinted: str = "") -> list[Rationale]:
    scripts = {"Answer: 11": hinted, "Ana": replies} if hinted else {"Ana": replies}
    ask = ModelClient({"student": Scripted(replies=scripts).open()})
    return asyncio.run(method.revise(question, FIRST, ask, Number(), 1))


def test_the_student_annotates_itself(apples: Question) -> None:
    (own,) = revise(Star(), apples, " 8 + 3 = 11. --> 11")
    assert (own.text, own.answer, own.source) == ("8 + 3 = 11.", "11", "student")


def test_where_it_fails_it_explains_the_answer(apples: Question) -> None:
    wrong, explained = revise(Star(), apples, " 8 - 3 = 5. --> 5", hinted=" 3 + 8 = 11. --> 11")
    assert (wrong.answer, explained.answer) == ("5", "11")
    kept = revise(Star(keep=True), apples, " 8 - 3 = 5. --> 5", hinted=" 3 + 8 = 11. --> 11")
    assert kept == [*FIRST, wrong, explained]
    (alone,) = revise(Star(hint=False), apples, " 8 - 3 = 5. --> 5", hinted=" 3 + 8 = 11. --> 11")
    assert alone.answer == "5"


def test_the_hint_is_learnt_where_it_is_used(apples: Question) -> None:
    plain, hinted = Star().examples(apples, FIRST[0])
    assert (plain.prompt, plain.target) == (apples.text, "3 + 8 = 11. --> 11")
    assert (hinted.prompt, hinted.target) == (f"{apples.text}\nAnswer: 11", plain.target)
    assert len(list(Star(hint=False).examples(apples, FIRST[0]))) == 1


@pytest.mark.parametrize("source", ["teacher", "base", "gold"])
def test_round_zero_has_three_sources(apples: Question, source: str) -> None:
    script = Scripted(replies={"Therefore": " 11.", "step by step": " 3 + 8 = 11."})
    ask = ModelClient({source: script.open()} if source != "gold" else {})
    method = Star.model_validate({"source": source})
    (rationale,) = asyncio.run(method.annotate(apples, ask, Number()))
    assert rationale.answer == "11"
    assert "3 + 8 = 11." in rationale.text
    assert method.rounds == (("student",),) * 3


def test_gold_must_be_there(apples: Question) -> None:
    with pytest.raises(DataError, match="q1 has no gold rationale"):
        asyncio.run(
            Star(source="gold").annotate(
                dataclasses.replace(apples, rationale=""), ModelClient({}), Number()
            )
        )


def test_the_student_answers(apples: Question) -> None:
    ask = ModelClient({"student": Scripted(replies=" 3 + 8 = 11. --> 11").open()})
    assert asyncio.run(Star().solve(apples, ask, Number())).answer == "11"

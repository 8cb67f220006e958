import asyncio
import dataclasses

import pytest

from cotdistill.answers.number import Number
from cotdistill.errors import DataError
from cotdistill.methods.star import Star
from cotdistill.model.client import ModelClient
from cotdistill.prompting.parts import cot_exemplar, cot_query
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


def test_rft_keeps_the_first_rationales_and_one_of_each_list_of_equations(apples: Question) -> None:
    method = Star(variant="rft", samples=4)
    kept = revise(
        method,
        apples,
        " So 3+8 = 11. --> 11",
        " 8 + 3 = 11. --> 11",
        " 1 --> 1",
        " 8 + 3 = 11! --> 11",
    )
    assert [rationale.text for rationale in kept] == ["3 + 8 = 11.", "8 + 3 = 11."]
    assert (len(method.rounds), method.hint, Star(variant="rft").samples) == (2, False, 8)


def test_the_hint_is_learnt_where_it_is_used(apples: Question) -> None:
    plain, hinted = Star().examples(apples, FIRST[0])
    assert (plain.prompt, plain.target) == (apples.text, "3 + 8 = 11. --> 11")
    assert (hinted.prompt, hinted.target) == (f"{apples.text}\nAnswer: 11", plain.target)
    assert len(list(Star(hint=False).examples(apples, FIRST[0]))) == 1


@pytest.mark.parametrize(
    ("start", "asked"), [("teacher", "teacher"), ("base", "base"), ("gold", None)]
)
def test_round_zero_has_three_sources(
    apples: Question, pens: Question, start: str, asked: str | None
) -> None:
    script = Scripted(
        replies={
            "Therefore": " 11.",
            "step by step": " 3 + 8 = 11.",
            "Ana": " 3 + 8 = 11. The answer is 11.",
        }
    )
    ask = ModelClient({asked: script.open()} if asked else {})
    method = Star.model_validate({"start": start, "shots": 1})
    assert method.exemplar_count == (1 if start == "base" else 0)
    (rationale,) = asyncio.run(method.with_exemplars([pens]).annotate(apples, ask, Number()))
    assert rationale.answer == "11"
    assert "3 + 8 = 11." in rationale.text


def test_the_base_is_not_shown_the_rationale_it_is_asked_for(
    apples: Question, pens: Question
) -> None:
    method = Star(start="base", shots=2).with_exemplars([apples, pens])
    prompt = f"{cot_exemplar(pens)}\n\n{cot_query(apples)}"
    ask = ModelClient(
        {
            "base": Scripted(
                replies=lambda request, _: " Yes." if request.prompt == prompt else " No."
            ).open()
        }
    )
    (rationale,) = asyncio.run(method.annotate(apples, ask, Number()))
    assert rationale.text == "Yes."


def test_gold_must_be_there(apples: Question) -> None:
    with pytest.raises(DataError, match="q1 has no gold rationale"):
        asyncio.run(
            Star(start="gold").annotate(
                dataclasses.replace(apples, rationale=""), ModelClient({}), Number()
            )
        )


def test_the_student_answers(apples: Question) -> None:
    ask = ModelClient({"student": Scripted(replies=" 3 + 8 = 11. --> 11").open()})
    assert asyncio.run(Star().solve(apples, ask, Number())).answer == "11"

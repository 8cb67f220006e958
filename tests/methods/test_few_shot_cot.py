import asyncio
import dataclasses

import pytest

from cotdistill.answers.choice import Choice
from cotdistill.answers.number import Number
from cotdistill.errors import DataError
from cotdistill.methods.few_shot_cot import FewShotCot
from cotdistill.model.client import ModelClient
from cotdistill.records import Question
from cotdistill.teachers.scripted import Scripted


def test_exemplars_end_with_the_answer_sentence(apples: Question, pens: Question) -> None:
    method = FewShotCot(shots=1).with_exemplars([pens])
    ask = ModelClient(
        {"teacher": Scripted(replies=" 3 + 8 = 11. The answer is 11.\n\nQ: Another").open()}
    )
    answer = asyncio.run(method.solve(apples, ask, Number()))
    assert answer.answer == "11"
    assert answer.trace[0]["prompt"] == (
        "Q: Bo has 2 pens and loses 1. How many?\nA: Bo has 2 pens. 2 - 1 = 1. The answer is 1.\n\n"
        "Q: Ana has 3 apples and buys 8 more. How many?\nA:"
    )


def test_options_are_answered_by_letter(apples: Question, quiz: Question) -> None:
    ask = ModelClient({"teacher": Scripted(replies=" Birds fly. The answer is (B).").open()})
    answer = asyncio.run(FewShotCot(shots=1).with_exemplars([quiz]).solve(quiz, ask, Choice()))
    assert answer.answer == "B"
    assert "so it is (B). The answer is (B).\n\n" in answer.trace[0]["prompt"]


def test_an_exemplar_without_rationale_is_refused(pens: Question) -> None:
    with pytest.raises(DataError, match="q2 has no rationale"):
        FewShotCot().with_exemplars([dataclasses.replace(pens, rationale="")])

import asyncio

from cotdistill.answers.number import Number
from cotdistill.methods.zero_shot_cot import ZeroShotCot
from cotdistill.model.client import ModelClient
from cotdistill.records import Question
from cotdistill.teachers.scripted import Scripted


def test_the_second_call_concludes_the_first(apples: Question) -> None:
    replies = {"Therefore, the answer is": " 11. She has 11 of 20.", "step by step": " 3 + 8 = 11."}
    answer = asyncio.run(
        ZeroShotCot().solve(
            apples, ModelClient({"teacher": Scripted(replies=replies).open()}), Number()
        )
    )
    assert answer.answer == "11"
    assert answer.text == "3 + 8 = 11.\nTherefore, the answer is 11. She has 11 of 20."
    first, second = (entry["prompt"] for entry in answer.trace)
    assert second == f"{first} 3 + 8 = 11.\nTherefore, the answer is"
    assert answer.completion_tokens == 5 + 6

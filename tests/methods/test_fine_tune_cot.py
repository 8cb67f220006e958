import asyncio

import pytest

from cotdistill.answers.number import Number
from cotdistill.errors import PluginError, QuestionFailed
from cotdistill.methods.fine_tune_cot import FineTuneCot
from cotdistill.methods.zero_shot_cot import ZeroShotCot
from cotdistill.model.client import ModelClient
from cotdistill.plugins import build
from cotdistill.records import Example, Question, Rationale, Request
from cotdistill.teachers.scripted import Scripted

PROMPT = "Q: Ana has 3 apples and buys 8 more. How many?\nA: Let's think step by step."


class Recorder:
    """A teacher whose samples of a rationale are given; the second call concludes with the
    rationale's last number."""

    def __init__(self, *samples: str) -> None:
        self.samples, self.requests = samples, list[tuple[Request, int]]()

    def __call__(self, request: Request, index: int) -> str:
        self.requests.append((request, index))
        prompt = str(request.prompt)
        if prompt.endswith("the answer is"):
            return f" {prompt.split('=')[-1].split('.')[0].strip()}. So it is out of 99."
        return self.samples[index % len(self.samples)]


def annotate(method: FineTuneCot, question: Question, teacher: Recorder) -> list[Rationale]:
    return asyncio.run(
        method.annotate(
            question, ModelClient({"teacher": Scripted(replies=teacher).open()}), Number()
        )
    )


def test_one_sample_is_two_greedy_calls(apples: Question) -> None:
    teacher = Recorder(" Ana has 3. 3 + 8 = 11.")
    (rationale,) = annotate(FineTuneCot(), apples, teacher)
    assert rationale.text == "Ana has 3. 3 + 8 = 11."
    assert rationale.answer == "11"
    first, second = (request for request, _ in teacher.requests)
    assert (first.prompt, first.temperature, first.max_tokens) == (PROMPT, 0.0, 128)
    assert second.prompt == f"{PROMPT} Ana has 3. 3 + 8 = 11.\nTherefore, the answer is"


def test_diverse_reasoning_draws_at_temperature_and_concludes_greedily(apples: Question) -> None:
    teacher = Recorder(" 3 + 8 = 11.", " 8 + 3 = 11.", " 3 * 8 = 24.")
    rationales = annotate(FineTuneCot(samples=3), apples, teacher)
    assert [rationale.answer for rationale in rationales] == ["11", "11", "24"]
    assert [rationale.sample_index for rationale in rationales] == [0, 1, 2]
    heats = {
        str(request.prompt).endswith("the answer is"): request.temperature
        for request, _ in teacher.requests
    }
    assert heats == {False: 0.7, True: 0.0}


def test_a_second_call_that_fails_costs_the_other_rationales_nothing(apples: Question) -> None:
    class Refusing(Recorder):
        def __call__(self, request: Request, index: int) -> str:
            if "3 * 8" in str(request.prompt):
                raise QuestionFailed("the endpoint refused it", "refused")
            return super().__call__(request, index)

    rationales = annotate(
        FineTuneCot(samples=3), apples, Refusing(" 3 + 8 = 11.", " 3 * 8 = 24.", " 8 + 3 = 11.")
    )
    assert [(rationale.sample_index, rationale.answer) for rationale in rationales] == [
        (0, "11"),
        (2, "11"),
    ]


@pytest.mark.parametrize(
    ("samples", "drawn"),
    [
        ((" 3 + 8 = 11.", " 8 + 3 = 11."), 2),
        ((" 3 + 8 = 11.", " 3 + 8 = 11.", " 8 + 3 = 11."), 3),
        ((" 3 * 8 = 24.",), 6),
        ((" 3 + 8 = 11.",), 6),
    ],
)
def test_drawing_stops_at_enough_distinct_rationales_that_reach_gold(
    apples: Question, samples: tuple[str, ...], drawn: int
) -> None:
    teacher = Recorder(*samples)
    rationales = annotate(FineTuneCot(samples=6, distinct=2), apples, teacher)
    assert [rationale.sample_index for rationale in rationales] == list(range(drawn))
    first_calls = [request for request, _ in teacher.requests if request.prompt == PROMPT]
    assert {request.temperature for request in first_calls} == {0.7}


def test_distinct_settings_must_make_sense() -> None:
    with pytest.raises(PluginError, match=r"distinct \(4\) is above samples \(2\)"):
        build("methods", {"name": "fine_tune_cot", "samples": 2, "distinct": 4}, FineTuneCot)


def test_without_a_second_call_the_answer_is_read_from_the_reply(apples: Question) -> None:
    teacher = Recorder(" 3 + 8 = 11. The answer is 11.")
    (rationale,) = annotate(FineTuneCot(answer_call=False), apples, teacher)
    assert (rationale.text, rationale.answer, len(teacher.requests)) == ("3 + 8 = 11.", "11", 1)


def test_gold_rationales_are_the_other_source(apples: Question) -> None:
    (rationale,) = asyncio.run(
        FineTuneCot(source="gold").annotate(apples, ModelClient({}), Number())
    )
    assert (rationale.text, rationale.answer, rationale.source) == (apples.rationale, "11", "gold")


def test_the_target_ends_with_gold(apples: Question, quiz: Question) -> None:
    method = FineTuneCot()
    (example,) = method.examples(apples, Rationale("q1", "3 + 8 = 11.", "11"))
    assert example == Example("student", apples.text, "3 + 8 = 11. --> 11")
    (example,) = method.examples(quiz, Rationale("q3", "It has wings.", "B"))
    assert example.target == "It has wings. --> (B)"


def test_the_student_answer_is_read_after_the_marker(apples: Question) -> None:
    ask = ModelClient({"student": Scripted(replies=" 3 + 8 = 11. --> 11").open()})
    answer = asyncio.run(FineTuneCot().solve(apples, ask, Number()))
    assert (answer.answer, answer.text) == ("11", " 3 + 8 = 11. --> 11")


def test_its_calls_are_those_of_zero_shot_cot(apples: Question) -> None:
    """So that a run that has both asks once."""
    teacher, baseline = Recorder(" 3 + 8 = 11."), Recorder(" 3 + 8 = 11.")
    annotate(FineTuneCot(), apples, teacher)
    ask = ModelClient({"teacher": Scripted(replies=baseline).open()})
    asyncio.run(ZeroShotCot().solve(apples, ask, Number()))
    assert teacher.requests == baseline.requests

import asyncio

from cotdistill.answers.number import Number
from cotdistill.methods.step_by_step import StepByStep
from cotdistill.model.client import ModelClient
from cotdistill.records import Question, Rationale
from cotdistill.teachers.scripted import Scripted


def test_label_and_rationale_are_two_tasks(apples: Question) -> None:
    label, rationale = StepByStep(rationale_weight=0.5).examples(
        apples, Rationale("q1", "3 + 8 = 11.", "11")
    )
    assert (label.prompt, label.target, label.weight) == (f"predict: {apples.text}", "11", 1.0)
    assert (rationale.prompt, rationale.target, rationale.weight) == (
        f"explain: {apples.text}",
        "3 + 8 = 11.",
        0.5,
    )
    label_alone = StepByStep(rationale_weight=0).examples(apples, Rationale("q1", "11.", "11"))
    assert len(list(label_alone)) == 1


def test_both_tasks_count_alike_however_long_they_are() -> None:
    assert StepByStep().objective(0) == "per_example"


def test_rationales_come_from_few_shot_prompts(apples: Question, pens: Question) -> None:
    ask = ModelClient(
        {
            "teacher": Scripted(
                replies={"A: Bo has 2 pens.": " 3 + 8 = 11. The answer is 11."}
            ).open()
        }
    )
    method = StepByStep(shots=1).with_exemplars([pens])
    (rationale,) = asyncio.run(method.annotate(apples, ask, Number()))
    assert (rationale.text, rationale.answer, method.exemplar_count) == ("3 + 8 = 11.", "11", 1)


def test_a_question_is_not_shown_its_own_rationale(apples: Question, pens: Question) -> None:
    method = StepByStep(shots=2).with_exemplars([apples, pens])
    prompt = (
        "Q: Bo has 2 pens and loses 1. How many?\nA: Bo has 2 pens. 2 - 1 = 1. The answer is 1.\n\n"
        "Q: Ana has 3 apples and buys 8 more. How many?\nA:"
    )
    ask = ModelClient(
        {
            "teacher": Scripted(
                replies=lambda request, _: " Yes." if request.prompt == prompt else " No."
            ).open()
        }
    )
    (rationale,) = asyncio.run(method.annotate(apples, ask, Number()))
    assert rationale.text == "Yes."


def test_the_answer_needs_no_rationale(apples: Question) -> None:
    ask = ModelClient({"student": Scripted(replies={"predict: Ana": " 11"}).open()})
    answer = asyncio.run(StepByStep().solve(apples, ask, Number()))
    assert (answer.answer, len(answer.trace)) == ("11", 1)

from collections.abc import Callable

from cotdistill.methods.zero_shot_cot import ZeroShotCot
from cotdistill.records import Answer, Request
from cotdistill.strategies.quest_cot import QuestCot

Run = Callable[..., Answer]

LEADING = "How many has she after buying?"


def student(request: Request, index: int) -> str:
    if str(request.prompt).endswith("First sub-question:"):
        return f" {LEADING}\nAnd another?"
    return f"{request.prefill}3 + 8 = 11. --> 7"


def test_the_answer_begins_with_the_student_s_own_question(run: Run) -> None:
    answer = run(QuestCot(), student=student)
    assert answer.text == f"{LEADING} 3 + 8 = 11. --> 7"
    assert (answer.answer, answer.guide_tokens) == ("7", 0)
    assert [entry["role"] for entry in answer.trace] == ["student", "student"]
    assert answer.completion_tokens == 6 + 13


def test_another_role_may_ask_and_is_counted_apart(run: Run) -> None:
    answer = run(QuestCot(questioner="teacher"), student=student, teacher=student)
    assert (answer.guide_tokens, answer.completion_tokens) == (6, 13)


def test_only_the_first_ask_is_led(run: Run) -> None:
    def teacher(request: Request, index: int) -> str:
        return " 7." if str(request.prompt).endswith("the answer is") else student(request, index)

    answer = run(QuestCot(), ZeroShotCot(), teacher=teacher)
    assert answer.answer == "7"
    assert answer.text.startswith(LEADING)
    assert len(answer.trace) == 3


def test_without_a_question_nothing_changes(run: Run) -> None:
    answer = run(QuestCot(questioner="teacher"), student=" 3 + 8 = 11. --> 7", teacher="\n")
    assert answer.text == " 3 + 8 = 11. --> 7"

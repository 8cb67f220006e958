from collections.abc import Callable

from cotdistill.records import Answer, Request
from cotdistill.strategies.sub_questions import SubQuestions

Run = Callable[..., Answer]

ASKED = {
    "How many at first?": "Ana has 3.",
    "How many then?": "3 + 8 = 11.",
    "How many are left?": "11 - 4 = 7.",
}


def student(request: Request, index: int) -> str:
    """Asks the next of three questions; answers whatever is left of them."""
    prompt = str(request.prompt)
    if prompt.endswith("sub-question:"):
        return " " + next((asked for asked in ASKED if asked not in prompt), "How many at first?")
    begin = request.prefill
    for asked, step in ASKED.items():
        if step not in begin:
            begin += step + " " if asked in begin or begin.endswith("7. ") else f"{step} "
    return f"{begin}--> 7"


def test_a_sub_question_stands_before_every_step(run: Run) -> None:
    answer = run(SubQuestions(), student=student)
    assert answer.text.startswith(
        "How many at first? Ana has 3. How many then? 3 + 8 = 11. How many are left? 11 - 4 = 7."
    )
    assert answer.answer == "7"
    assert sum("sub-question:" in entry["prompt"] for entry in answer.trace) == 3


def test_it_stops_asking(run: Run) -> None:
    answer = run(SubQuestions(max_steps=1), student=student)
    assert answer.text.startswith("How many at first? Ana has 3. 3 + 8 = 11.")
    assert answer.answer == "7"


def test_a_guide_may_ask(run: Run) -> None:
    answer = run(SubQuestions(questioner="teacher"), student=student, teacher=student)
    assert answer.guide_tokens == 4 + 3 + 4
    assert answer.answer == "7"

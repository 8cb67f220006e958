from collections.abc import Callable
from typing import Any

import pytest

from cotdistill import plugins
from cotdistill.contracts import Strategy
from cotdistill.errors import PluginError
from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.records import Answer, Question, Request
from cotdistill.strategies.combined import Combined

Run = Callable[..., Answer]


def combined(*of: Any) -> Combined:
    return Combined.model_validate({"of": list(of)})


def calculates(request: Request, index: int) -> str:
    """A student that guesses sums and goes on from a right one."""
    if request.prefill:
        return f"{request.prefill}. --> {request.prefill.split()[-1]}"
    return (" 3 + 8 = 12. --> 12", " 3 + 8 = 11. --> 11", " --> 5")[index]


@pytest.mark.parametrize("order", [("calculator", "vote"), ("vote", "calculator")])
def test_every_vote_is_calculated(run: Run, order: tuple[str, str]) -> None:
    entries = {"calculator": "calculator", "vote": {"name": "self_consistency", "n": 3}}
    answer = run(combined(*(entries[name] for name in order)), student=calculates)
    assert (answer.answer, answer.votes) == ("11", ("11", "11", "5"))


def test_what_follows_a_wrong_result_is_sampled_too(run: Run) -> None:
    seen = list[tuple[int, float]]()

    def student(request: Request, index: int) -> str:
        seen.append((index, request.temperature))
        return (
            f"{request.prefill}. --> {request.prefill.split()[-1]}"
            if request.prefill
            else " 3 + 8 = 12. --> 12"
        )

    answer = run(combined("calculator", {"name": "self_consistency", "n": 2}), student=student)
    assert answer.votes == ("11", "11")
    assert sorted(seen) == [(0, 0.7), (0, 0.7), (1, 0.7), (1, 0.7)]


def test_a_guided_student_calculates(run: Run) -> None:
    def student(request: Request, index: int) -> str:
        if request.prefill.endswith("11 - 4 = 7"):
            return f"{request.prefill}. --> 7"
        return f"{request.prefill}She has 11 - 4 = 9. --> 9"

    answer = run(combined("calculator", "first_step"), student=student)
    assert answer.answer == "7"
    assert answer.text.strip().startswith("Ana has 3 apples.")
    assert answer.guide_tokens > 0


def test_the_text_of_a_guide_is_not_calculated(run: Run) -> None:
    guide = {"name": "first_step", "control": "wrong"}
    question = Question("q", "Ana has 3 apples, buys 8.", "11", rationale="She has 3 + 8 = 11.")

    def student(request: Request, index: int) -> str:
        return f"{request.prefill}She eats 12 - 4 = 8. --> 8"

    answer = run(combined("calculator", guide), question=question, student=student)
    assert answer.text == "She has 3 + 8 = 12. She eats 12 - 4 = 8. --> 8"


def test_turns_vote(run: Run) -> None:
    decomposer = {"3 + 8 = 11. |": " done", "Ana": " How many then?"}
    strategy = combined("calculator", {"name": "self_consistency", "n": 2})
    answer = run(strategy, SocraticCot(), decomposer=decomposer, solver=calculates)
    assert answer.votes == ("11", "11")


def test_engines_get_the_rules_of_all() -> None:
    assert len(combined("self_consistency", "calculator").rules) == 1
    assert combined("self_consistency", "greedy").rules == ()


def test_defaults_are_part_of_what_it_is() -> None:
    short, long = (
        combined("greedy", "self_consistency"),
        combined("greedy", {"name": "self_consistency", "n": 8}),
    )
    assert short == long
    assert Combined.model_validate(short.model_dump(mode="json")) == short


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (["calculater", "greedy"], "did you mean 'calculator'"),
        ([{"name": "self_consistency", "k": 3}, "greedy"], "unknown setting 'k'"),
        ("calculator", "a list of strategies"),
        (["calculator"], "at least 2"),
    ],
)
def test_nonsense_is_refused(of: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        plugins.build("strategies", {"name": "combined", "of": of}, Strategy)

from collections.abc import Callable
from typing import Any

import pytest

from cotdistill.errors import QuestionFailed
from cotdistill.methods.zero_shot_cot import ZeroShotCot
from cotdistill.records import Answer, Request
from cotdistill.strategies._sampling import Chain
from cotdistill.strategies.self_consistency import SelfConsistency

Run = Callable[..., Answer]


def test_the_majority_wins_and_every_vote_is_kept(run: Run) -> None:
    student = (" --> 5", " 3 + 8 = 11. --> 7", " --> 7.0", " nothing")
    answer = run(SelfConsistency(n=4), student=student)
    assert (answer.answer, answer.votes) == ("7", ("5", "7", "7", None))
    assert answer.text == " 3 + 8 = 11. --> 7"
    assert answer.completion_tokens == 2 + 7 + 2 + 1


def test_a_solution_that_fails_has_no_vote_and_costs_the_others_nothing(run: Run) -> None:
    def student(request: Request, index: int) -> str:
        if index == 1:
            raise QuestionFailed("the endpoint refused it", "refused")
        return " --> 7"

    answer = run(SelfConsistency(n=4), student=student)
    assert (answer.answer, answer.votes) == ("7", ("7", None, "7", "7"))


def test_a_question_all_of_whose_solutions_fail_fails(run: Run) -> None:
    def student(request: Request, index: int) -> str:
        raise QuestionFailed("the endpoint refused it", "refused")

    with pytest.raises(QuestionFailed, match="refused it"):
        run(SelfConsistency(n=2), student=student)


def test_solution_i_draws_sample_i_at_temperature(run: Run) -> None:
    seen = list[tuple[int, float, float]]()

    def student(request: Request, index: int) -> str:
        seen.append((index, request.temperature, request.top_p))
        return f" --> {index}"

    run(SelfConsistency(n=3, temperature=0.5, top_p=0.9), student=student)
    assert sorted(seen) == [(0, 0.5, 0.9), (1, 0.5, 0.9), (2, 0.5, 0.9)]


def test_reading_the_answer_off_stays_greedy(run: Run) -> None:
    heats = set[tuple[bool, float]]()

    def teacher(request: Request, index: int) -> str:
        reads_off = str(request.prompt).endswith("the answer is")
        heats.add((reads_off, request.temperature))
        return " 7." if reads_off else f" Way {index}."

    answer = run(SelfConsistency(n=2), ZeroShotCot(), teacher=teacher)
    assert heats == {(False, 0.7), (True, 0.0)}
    assert answer.votes == ("7", "7")


@pytest.mark.parametrize(
    ("vote", "votes", "winner"),
    [
        ("plain", [("5", 0.9), ("7", 0.4), ("7", 0.4)], 1),
        ("weighted", [("5", 0.9), ("7", 0.4), ("7", 0.4)], 0),
        ("plain", [("5", 1.0), ("7", 1.0)], 0),
        ("plain", [(None, 1.0), ("7", 1.0)], 1),
        ("plain", [(None, 1.0), (None, 1.0)], 0),
    ],
)
def test_votes(vote: Any, votes: list[tuple[str | None, float]], winner: int) -> None:
    from cotdistill.answers.number import Number

    chains = [Chain(Answer("q", answer, ""), confidence) for answer, confidence in votes]
    assert SelfConsistency(vote=vote)._winner(chains, Number()) == winner

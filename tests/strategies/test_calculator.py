import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.answers.number import Number
from cotdistill.contracts import Ask, TrainSettings
from cotdistill.engines.transformers import TransformersEngine
from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.model.batcher import BatchedModel
from cotdistill.model.client import ModelClient
from cotdistill.prompting.base import Transcript
from cotdistill.records import Answer, Completion, Example, Question, Request
from cotdistill.strategies.calculator import Calculator, CompletesEquations
from cotdistill.students.transformers import TransformersStudent
from cotdistill.testing.tiny import tiny_checkpoint, train_on
from cotdistill.text.arithmetic import find_equations
from tests.blow_up import no_blow_up
from tests.text.test_arithmetic import HOSTILE

Run = Callable[..., Answer]

WRONG = " She buys 8, so 3 + 8 = 12. She eats 4, so 12 - 4 = 9. --> 9"
"""Two wrong results, the second on top of the first; the answer is 8 by its own lights, 7 in truth.
"""


def continues(request: Request, index: int) -> str:
    """A student that uses whatever stands before, and calculates one too high."""
    if not request.prefill:
        return WRONG
    if request.prefill.endswith("3 + 8 = 11"):
        return f"{request.prefill}. She eats 4, so 11 - 4 = 8. --> 8"
    return f"{request.prefill}. --> {request.prefill.split()[-1]}"


@pytest.mark.parametrize("mode", ["decode", "resume"])
def test_a_wrong_result_is_replaced_and_the_model_goes_on(run: Run, mode: Any) -> None:
    answer = run(Calculator(mode=mode), student=continues)
    assert answer.answer == "7"
    assert answer.text == " She buys 8, so 3 + 8 = 11. She eats 4, so 11 - 4 = 7. --> 7"


def test_a_model_that_adds_digits_is_stopped(run: Run) -> None:
    def adds_digits(request: Request, index: int) -> str:
        return (
            f"{request.prefill}5"
            if request.prefill.endswith("11")
            else f"{request.prefill or ' so 3 + 8 = 12'} --> 11"
        )

    answer = run(Calculator(mode="resume"), student=adds_digits)
    assert answer.text == " so 3 + 8 = 11. --> 11"


def test_it_ends_within_the_length_limit(run: Run) -> None:
    def never_learns(request: Request, index: int) -> str:
        return f"{request.prefill} and 1 + 1 = 3"

    answer = run(Calculator(mode="resume"), student=never_learns)
    assert "= 3" not in answer.text
    assert answer.completion_tokens < 2 * 256


def test_later_turns_build_on_right_results(run: Run) -> None:
    decomposer = {"3 + 8 = 11. |": " done", "Ana": " How many then?"}

    def solver(request: Request, index: int) -> str:
        return f"{request.prefill}. --> 11" if request.prefill else " 3 + 8 = 12. --> 12"

    answer = run(Calculator(mode="resume"), SocraticCot(), decomposer=decomposer, solver=solver)
    assert answer.answer == "11"
    assert "3 + 8 = 11." in answer.trace[-1]["prompt"]


@pytest.mark.parametrize(
    ("text", "forced"),
    [
        ("so 3 * 4 =", " 12"),
        ("so 3 * 4 = ", "12"),
        ("<<3*4=", "12>>12"),
        ("so 3 * 4", None),
        ("x =", None),
        ("x = ", None),
        ("3 * 4 = 12", None),
    ],
)
def test_the_rule_completes_what_was_opened(text: str, forced: str | None) -> None:
    assert CompletesEquations().forced(text) == forced


def test_engines_get_the_rule_only_for_decoding() -> None:
    assert len(Calculator().rules) == 1
    assert Calculator(mode="resume").rules == ()


@pytest.mark.parametrize("family", ["qwen2", "t5"])
def test_a_real_student_calculates_while_it_writes(run: Run, tmp_path: Path, family: Any) -> None:
    """A student that has learnt one wrong sum by heart: the engine writes the right result into its
    sentence."""
    student = TransformersStudent(model=str(tiny_checkpoint(tmp_path / "base", family)))
    examples = [Example("student", "Ana", "3 + 8 = 99. --> 99") for i in range(32)]
    settings = TrainSettings(epochs=48, learning_rate=5e-3, selection="last")
    train_on(examples, student, settings, tmp_path / "student")
    engine = student.engine(tmp_path / "student", TransformersEngine())

    def solve_with(strategy: Calculator) -> tuple[str, list[str]]:
        written: list[str] = []

        async def answer() -> Answer:
            async with ModelClient(
                {"student": BatchedModel(engine, rules=strategy.rules)}
            ) as asker:

                async def ask(prompt: Any, **settings: Any) -> list[Completion]:
                    completions = await asker(prompt, **settings)
                    written.extend(completion.text for completion in completions)
                    return completions

                async def solve(question: Question, ask: Ask) -> Answer:
                    transcript = Transcript(question, ask, Number())
                    reply = await transcript.ask("Ana", role="student", max_tokens=32)
                    return transcript.answer(reply.text, "-->")

                return await strategy.run(solve, Question("q", "Ana", "11"), ask, Number())

        return asyncio.run(answer()).text, written

    resumed, guessed = solve_with(Calculator(mode="resume"))
    decoded, written = solve_with(Calculator())
    assert "3 + 8 = 99" in guessed[0]
    assert "3 + 8 = 11" in resumed
    assert "3 + 8 = 11" in decoded
    assert all(equation.holds for equation in find_equations(decoded))
    assert "3 + 8 = 11" in written[0]  # and not only after the model was asked again


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_replies_cost_no_time(piece: str) -> None:
    text = (piece * (100_000 // len(piece) + 1))[:100_000]

    async def ask(prompt: Any, **settings: Any) -> list[Completion]:
        return [Completion(text, completion_tokens=25_000)]

    async def solve(question: Question, ask: Ask) -> Answer:
        (reply,) = await ask(question.text, max_tokens=25_000)
        return Answer(question.id, None, reply.text)

    with no_blow_up():
        strategy = Calculator().run(solve, Question("q", "Ana", "11"), ask, Number())
        answer = asyncio.run(strategy)
    assert text.startswith(answer.text[:1])

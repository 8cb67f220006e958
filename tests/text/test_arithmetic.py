import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotdistill.text.arithmetic import (
    completion,
    corrected,
    evaluate,
    find_equations,
    format_number,
    numbers,
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("3 + 4 * 2", 11),
        ("(3 + 4) * 2", 14),
        ("10 - 4 - 3", 3),
        ("12 / 4 / 3", 1),
        ("-5 + 3", -2),
        ("2 * -3", -6),
        ("1,200 + 0.5", Fraction(2401, 2)),
        ("20% of 50", 10),
        ("1/2 of 50", 25),
        ("3 x 4", 12),
        ("3 × 4 ÷ 6", 2),
        ("$3 + $4", 7),
        ("3 apples + 8 apples", 11),
        (".5 * 2", 1),
    ],
)
def test_expressions_have_their_exact_value(expression: str, value: float | Fraction) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "text",
    ["", "4 / 0", "2x + 1", "3 +", "(3", "apples", "2**3", "2 ^ 3", "__import__('os')", "1" * 99],
)
def test_what_is_no_arithmetic_has_no_value(text: str) -> None:
    assert evaluate(text) is None


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("Ana pays 3 * $4 = $12.", [True]),
        ("<<3*4=13>>13", [False]),
        ("3*4=<<3*4=12>>13", [True, False]),
        ("So 3 + 8 = 11 apples, and 11 - 2 = 8.", [True, False]),
        ("10 / 3 = 3.33", [True]),
        ("10 / 3 = 3.4", [False]),
        ("10 / 3 = 3", [False]),
        ("10/50 = 20%", [True]),
        ("20% + 30% = 50%", [True]),
        ("3 * 4 = 12 + 5 = 17", [False, True]),
        ("11 = 3 + 8", [True]),
        ("- 3 + 4 = 7", [True]),
        ("How many? ** 3 + 8 = 11", [True]),
        ("1. 3 + 4 = 7", [True]),
        ("(3 + 4 = 7)", [True]),
        ("4 - 6 = -2", [True]),
        ("3 + 4 = 7 - so she has 7", [True]),
        ("5(6 + 3) = 45, 2(16)-8 = 24", [True, True]),
        ("25 / 1/3 = 75", [True]),
        ("100 / 10/5 = 50", [True]),
        ("100/10/5 = 2", [True]),
        ("240 – (40 + 84) = 116", [True]),
        ("1.2 x 100% = 120", [True]),
        ("100% - 80% = 20 %", [True]),
        ("10 * 1 1/2 = 15", []),
        ("at 7:50 + 30 minutes = 8:20", []),
        ("3*30 = 30 + M", []),
        ("192 / 1.2 = 1.2Y / 1.2", []),
        ("8 x Y = 3 x 24", []),
        ("42 minutes = 42/60 hours", []),
        ("x = 3 + 4", []),
        ("2x + 3 + 1 = 7", []),
        ("2**3 + 1 = 9", []),
        ("2 ^ 3 + 1 = 9", []),
        ("y = 5", []),
        ("3 + 8 = 12 --> 12", [False]),
        ("3 + 8 = 11 -> 11", [True]),
        ("3 + 8 = 11 - - 4", [True]),
        ("3 - -8 = 11", [True]),
        ("= = =", []),
        ("4 / 0 = 0", []),
        ("5 miles/hour * 3 hours = 15 miles", []),
    ],
)
def test_equations_are_found_and_checked(text: str, holds: list[bool]) -> None:
    assert [equation.holds for equation in find_equations(text)] == holds


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("so 3 * 4 =", " 12"),
        ("so <<3*4=", "12>>12"),
        ("5-7=", "-2"),
        ("10 / 3 =", " 3.33"),
        ("10 / 4 =", " 2.5"),
        ("3 * $4 =", " $12"),
        ("<<3+4=7>>7 and 7 * 2 =", " 14"),
        ("3 + 4 = 7 + 5 =", " 12"),
        ("x =", None),
        ("The answer is 12", None),
        ("4 / 0 =", None),
        ("3 * 4 = ", None),
    ],
)
def test_an_opened_equation_is_completed(text: str, written: str | None) -> None:
    assert completion(text) == written


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("3 * 4 = 13. 13 + 1 = 14. --> 14", "3 * 4 = 12. 12 + 1 = 13. --> 13"),
        ("<<3*4=13>>13 and <<13+1=14>>14 #### 14", "<<3*4=12>>12 and <<12+1=13>>13 #### 13"),
        ("3+4=8. 2*4=8. 8 + 1 = 9.", "3+4=7. 2*4=8. 8 + 1 = 9."),
        ("3 * $4 = $13. She pays $13.", "3 * $4 = $12. She pays $12."),
        ("3 * 4 = 13 + 5 = 18", "3 * 4 = 12 + 5 = 17"),
        ("all is 3 + 4 = 7 here", "all is 3 + 4 = 7 here"),
        ("no equation 13", "no equation 13"),
    ],
)
def test_wrong_results_are_put_right_and_carried_on(text: str, right: str) -> None:
    assert corrected(text) == right


def test_numbers_of_the_question_are_not_replaced() -> None:
    assert (
        corrected("3 * 4 = 13. Of the 13 pens", given=numbers("There are 13 pens"))
        == "3 * 4 = 12. Of the 13 pens"
    )


def test_what_a_text_begins_with_is_not_corrected() -> None:
    assert (
        corrected("3 + 8 = 12. 12 - 4 = 9.", start=len("3 + 8 = 12.")) == "3 + 8 = 12. 12 - 4 = 8."
    )
    assert corrected("3 + 8 = 12.", start=len("3 + 8 =")) == "3 + 8 = 11."


@given(st.integers(-999, 9999), st.integers(1, 99), st.sampled_from("+-*/"))
def test_a_completed_equation_always_holds(first: int, second: int, sign: str) -> None:
    opened = f"{first} {sign} {second} ="
    written = completion(opened)
    assert written is not None
    assert [equation.holds for equation in find_equations(f"{opened}{written}.")] == [True]


@given(st.text(alphabet="0123456789+-*/=()<>$%. ,xof\nab", max_size=80))
def test_no_text_raises_and_correcting_twice_changes_nothing(text: str) -> None:
    find_equations(text)
    completion(text)
    numbers(text)
    assert isinstance(corrected(text), str)


def test_the_gold_solutions_of_gsm8k_are_almost_all_right(shared_data: Path) -> None:
    """What is called wrong there was read: slips of the data, and writing that means something else."""
    lines = (shared_data / "benchmarks" / "gsm8k" / "test.jsonl").read_text("utf-8").splitlines()
    equations = [
        equation for line in lines for equation in find_equations(json.loads(line)["answer"])
    ]
    assert len(equations) > 7_000
    assert sum(not equation.holds for equation in equations) / len(equations) < 0.003


@pytest.mark.parametrize(
    ("value", "text"), [("1/8", "0.125"), ("10/3", "3.33"), ("7", "7"), ("-5/2", "-2.5")]
)
def test_numbers_are_written_as_people_do(value: str, text: str) -> None:
    assert format_number(Fraction(value)) == text

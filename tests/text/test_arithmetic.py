import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotdistill.text.arithmetic import completion, find_equations, repaired
from tests.blow_up import no_blow_up


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


@given(st.integers(-999, 9999), st.integers(1, 99), st.sampled_from("+-*/"))
def test_a_completed_equation_always_holds(first: int, second: int, sign: str) -> None:
    opened = f"{first} {sign} {second} ="
    written = completion(opened)
    assert written is not None
    assert [equation.holds for equation in find_equations(f"{opened}{written}.")] == [True]


@pytest.mark.parametrize(
    ("text", "start", "right"),
    [
        ("so 3 * 4 = 13. 13 + 1 = 14. --> 14", 0, "so 3 * 4 = 12"),
        ("<<3*4=13>>13 and <<13+1=14>>14", 0, "<<3*4=12"),
        ("3 * $4 = $13. She pays $13.", 0, "3 * $4 = $12"),
        ("3 * 4 = 12 + 5 = 18", 0, "3 * 4 = 12 + 5 = 17"),
        ("7 - 9 = $2", 0, "7 - 9 = -$2"),
        ("10 / 3 = 3.4", 0, "10 / 3 = 3.33"),
        ("1 / 8 = 0.1", 0, None),
        ("3 + 4 = 7 and 1 + 1 = 2", 0, None),
        ("no equation 13", 0, None),
        ("3 + 8 = 12. 12 - 4 = 9.", len("3 + 8 = 12."), "3 + 8 = 12. 12 - 4 = 8"),
        ("3 + 8 = 12.", len("3 + 8 ="), "3 + 8 = 11"),
    ],
)
def test_the_first_wrong_result_is_set_right(text: str, start: int, right: str | None) -> None:
    assert repaired(text, start) == right


@given(st.text(alphabet="0123456789+-*/=()<>$%. ,xof\nab", max_size=80))
def test_no_text_raises(text: str) -> None:
    find_equations(text)
    completion(text)
    right = repaired(text)
    assert right is None or len(find_equations(right)) <= len(find_equations(text)) + 1


HOSTILE = [
    "9", "9**9**9 = ", "9*9=", "9" * 40 + "*", "(", ")", "(1+", "1)=", "((1+1)=2) ", "=", "1=",
    "1+1=", "1+1=3 ", "1/0=", "1/3+", "1/7+1/9=", "1/1=1/", "-1=-", "- -1+-", "1e999 = ", "5! = ",
    "2^9=", "1,111", "1.1.", "<<", "<<1+1=3>>", "<<1+1=", "$ 5% of ", "10% of 50 = ", "7:50 + 1=",
    "x", "3x4=12 ", "one hundred hundred ", "1 apple + 2 pears = 3 ", "\n=", " ", "½=", "٣+٣=٦ ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear_in_hostile_text(piece: str) -> None:
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    for read in (find_equations, repaired, completion):
        with no_blow_up():
            read(text + "=")


@pytest.mark.parametrize(
    "text", ["(" * 40_000 + "1" + ")" * 40_000 + "=1", "9*" * 40_000 + "9=9", "1/0." + "1" * 90_000]
)
def test_deep_and_huge_expressions_are_no_equations(text: str) -> None:
    assert [equation.holds for equation in find_equations(text) if equation.calculates] == []


def test_the_gold_solutions_of_gsm8k_are_almost_all_right(shared_data: Path) -> None:
    """What is called wrong there was read: slips of the data, and writing that means something
    else."""
    lines = (shared_data / "benchmarks" / "gsm8k" / "test.jsonl").read_text("utf-8").splitlines()
    equations = [
        equation for line in lines for equation in find_equations(json.loads(line)["answer"])
    ]
    assert len(equations) > 7_000
    assert sum(not equation.holds for equation in equations) / len(equations) < 0.003

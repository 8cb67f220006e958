import builtins
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotdistill.answers import math_expression
from cotdistill.answers.math_expression import MathExpression
from cotdistill.errors import MissingExtra

MATH = MathExpression()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"Hence $x=3$. The answer is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"so \boxed{(3,\pi/2)}, not \boxed{}", r"(3,\pi/2)"),
        ("The answer is 42.", "42"),
        (r"we get $x^2+1$.", "x^2+1"),
        ("nothing here", None),
        ("The answer is unknown", None),
        ("#### 5", "5"),
        (r"The final answer is $p - q$. I hope it is correct.", "p - q"),
        (r"\boxed{}", None),
        (r"\boxed{\text{east}}", r"\text{east}"),
        ("It is 12 in the end", "12"),
        ("", None),
    ],
)
def test_reads(text: str, expected: str | None) -> None:
    assert MATH.extract(text) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        (r"\dfrac12", r"\frac{1}{2}", True),
        ("0.5", r"\frac{1}{2}", True),
        (r"\left(3,\frac{\pi}{2}\right)", r"(3,\pi/2)", True),
        ("x=5", "5", True),
        (r"2\sqrt{2}", r"\sqrt{8}", True),
        ("p-q", "q-p", False),
        ("1,000", "1000", True),
        (r"\{1,2\}", r"\{2,1\}", True),
        ("[0,1)", "[0,1]", False),
        (r"(x+1)^2", r"x^2+2x+1", True),
        (r"\text{east}", "east", True),
        (r"50\%", "50", True),
        (r"90^\circ", "90", True),
        (None, "1", False),
        ("1", None, False),
        ("", "", False),
    ],
)
def test_same(answer: str | None, gold: str | None, expected: bool) -> None:
    pytest.importorskip("math_verify", reason="math-verify is an extra")
    assert MATH.same(answer, gold) is expected


@pytest.mark.parametrize(
    "hostile",
    ["9" * 200 + "!", "10^{10^{10}}", "(x+y+z+1)^{60}", "9^{99999}", "\\frac{" * 40, "((((" * 60],
)
def test_hostile_expressions_end_soon(hostile: str) -> None:
    began = time.thread_time()
    assert MATH.same(hostile, "x+1") is False
    assert time.thread_time() - began < 6


def test_the_time_limit_works_outside_the_main_thread() -> None:
    seen: list[Any] = []

    def run() -> None:
        def endless() -> bool:
            while True:
                len(str(1))

        try:
            math_expression._within(0.05, endless)
        except math_expression._TimeUp:
            seen.append("stopped")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert seen == ["stopped"]


def test_without_the_extra_the_message_has_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_import = builtins.__import__

    def no_math_verify(name: str, *args: Any) -> Any:
        if name == "math_verify":
            raise ImportError(name)
        return plain_import(name, *args)

    monkeypatch.setattr(builtins, "__import__", no_math_verify)
    math_expression._library.cache_clear()
    with pytest.raises(MissingExtra, match=r"pip install 'cotdistill\[math\]'"):
        MATH.same("a+b", "c+d+e")
    assert MATH.same("7", "7.0")


@settings(max_examples=500)
@given(st.text(max_size=60))
def test_extraction_never_raises(text: str) -> None:
    found = MATH.extract(text)
    assert found is None or found


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        (r"The answer is $\frac{1}{2}$, no wait, $\frac{1}{3}$.", r"\frac{1}{3}"),
        (r"\boxed{2} or \boxed{3}", "2, 3"),
        (r"The answer is $2$ and $3$.", "2, 3"),
        (r"The answer is \$5 and \$6.", r"\$5 and \$6"),
        (r"The answer is undefined at $x = 0$.", None),
        ("I cannot solve this: 3 is missing.", None),
        ("**3/4**", "3/4"),
    ],
)
def test_all_of_an_answer_is_read_or_nothing(text: str, expression: str | None) -> None:
    assert MathExpression().extract(text) == expression

"""A hundred thousand random texts: no kind of answer ever raises, and none reports what the text
does not hold."""

import random
import sys

from cotdistill.answers.choice import Choice
from cotdistill.answers.date import Date
from cotdistill.answers.math_expression import MathExpression
from cotdistill.answers.number import Number
from cotdistill.answers.text import Text
from cotdistill.answers.yes_no import YesNo

PIECES = [
    "The answer is ",
    "-->",
    "####",
    "\\boxed{",
    "}",
    "{",
    "$",
    "(A)",
    "B.",
    " not ",
    " yes",
    "no ",
    "1,234",
    "5/0",
    "10^",
    "e99",
    "-",
    ".",
    ",",
    " ",
    "\n",
    "½",
    "٣",
    "\\frac{1}{2}",
    "five ",
    "million",
    "%",
    "answer: ",
    "</think>",
    "Q: ",
    '"',
    "12/31/2020",
    "May 1, 2021",
]


def random_text(draw: random.Random) -> str:
    return "".join(
        draw.choice(PIECES)
        if draw.random() < 0.3
        else chr(draw.randrange(0x20, 0x3000 if draw.random() < 0.9 else sys.maxunicode))
        for _ in range(draw.randrange(25))
    )


def test_a_hundred_thousand_random_texts() -> None:
    draw = random.Random(20)
    options = ("pond", "forest", "5", "A", "")
    number, choice, yes_no, text, date, math = (
        Number(),
        Choice(),
        YesNo(),
        Text(),
        Date(),
        MathExpression(),
    )
    found = 0
    for _ in range(100_000):
        sample = random_text(draw)
        value = number.extract(sample)
        if value is not None:
            found += 1
            assert any(letter.isnumeric() for letter in sample) or any(
                word in sample for word in ("five", "million")
            ), sample
            assert number.same(value, value), sample
        letter = choice.extract(sample, options=options)
        assert letter is None or letter in "ABCDE", sample
        assert yes_no.extract(sample) in (None, "yes", "no"), sample
        plain = text.extract(sample)
        assert plain is None or plain.strip(), sample
        day = date.extract(sample)
        assert day is None or date.same(day, day), sample
        expression = math.extract(sample)
        assert expression is None or expression.strip(), sample
    assert found > 10_000

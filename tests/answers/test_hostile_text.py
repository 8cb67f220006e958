"""Every answer type reads 100 kB of anything in a fifth of a second, and never raises."""

import time

import pytest

from cotdistill import plugins
from cotdistill.contracts import AnswerType

SIZE = 100_000
PATTERNS = {
    "newlines": "\n",
    "spaces": " ",
    "tabs and spaces": "\t ",
    "answer and spaces": "answer" + " " * 8000,
    "answers": "answer ",
    "the answer is": "the answer is ",
    "answer (": "answer (",
    "answer to": "answer to a ",
    "not": "not ",
    "n't the": "n't the ",
    "digits": "1",
    "digits and commas": "1,",
    "groups": "1,234,",
    "digits and spaces": "1 ",
    "groups of spaces": "123 456 ",
    "fractions": "1/",
    "powers": "10^",
    "times powers": "1 x 10 ^ ",
    "points": "1.",
    "minus": "-",
    "minus spaces": "- ",
    "brackets": "(",
    "squares": "[",
    "braces": "{",
    "boxes": "\\boxed{",
    "empty boxes": "\\boxed{} ",
    "fracs": "\\frac{",
    "fractions in LaTeX": "\\frac{1}{2}",
    "dollars": "$",
    "dollars and letters": "$a ",
    "backslashes": "\\",
    "openings": "\\(",
    "text": "\\text{",
    "roots": "\\sqrt{",
    "hundreds": "one hundred ",
    "and": "one and ",
    "words": "twenty-",
    "dozen": "a dozen ",
    "points in words": "six point ",
    "minus words": "minus ",
    "stars": "*",
    "quotes": '"',
    "single quotes": "'a ",
    "backquotes": "`",
    "tags": "<answer>",
    "thinking": "<think>",
    "ends of thinking": "</think>",
    "arrows": "-->",
    "hashes": "####",
    "dashes": "--",
    "arabic digits": "٣",
    "wide": "１",
    "vulgar": "½",
    "raised": "⁵",
    "east": "答案",
    "letters": "A ",
    "options": "(A) ",
    "A, B": "A, B, ",
    "and or": "A and B or ",
    "equals": "=",
    "x =": "x = ",
    "is is": "is ",
    "dates": "1/1/2",
    "months": "May ",
    "days of": "1st of ",
    "yes": "yes ",
    "yes or no": "yes or no ",
    "no no": "no, ",
    "questions": "\nQ: ",
    "words of one letter": "a-",
    "letters and dashes": "a - ",
    "percent": "5% ",
    "currencies": "$5 ",
    "factorials": "5!",
    "colons": ":",
    "semicolons": "a; ",
    "halves": "half of ",
    "nul": "\x00",
    "emoji": "😀",
    "marks": "<|im_end|>",
    "ends": "</s> ",
    "equations": "1 + 1 = ",
    "or": "1 or ",
    "or that is": "0.3 or ",
    "list": "\n1. ",
}


def hostile(name: str) -> list[str]:
    body = (PATTERNS[name] * (SIZE // len(PATTERNS[name]) + 1))[:SIZE]
    return [body, body + "x", body + "\nThe answer is (B)", f"The answer is {body}!"]


@pytest.mark.parametrize("answers", plugins.names("answers"))
def test_extraction_takes_linear_time_and_never_raises(answers: str) -> None:
    answer_type = plugins.build("answers", answers, AnswerType)
    slow = []
    for name in PATTERNS:
        for number, text in enumerate(hostile(name)):
            began = time.thread_time()
            answer_type.extract(text, options=("pond", "forest", "5"))
            if time.thread_time() - began > 0.2:
                slow.append((name, number, round(time.thread_time() - began, 2)))
    assert slow == []

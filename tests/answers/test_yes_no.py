import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotdistill.answers.yes_no import YesNo

YES_NO = YesNo()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "yes"),
        ("no", "no"),
        ("No.", "no"),
        ("The answer is yes", "yes"),
        ("there is no way", None),
        ("yes or no", None),
        ("The answer (Yes or No) is No.", "no"),
        ("Yes, because there is no wind", "yes"),
        ("The answer is not yes", None),
        ("no one knows", None),
        ("So the answer is: **No**", "no"),
        (r"\boxed{yes}", "yes"),
        ("The answer is true", "yes"),
        (":\n\nYes", "yes"),
        ("The answer is that there is no way", None),
        ("-->yes", "yes"),
        ("Nobody is yesterday", None),
        ("", None),
        ("I first thought no. But then, yes.", "yes"),
        ("It is true that this long sentence holds no answer", None),
    ],
)
def test_reads(text: str, expected: str | None) -> None:
    assert YES_NO.extract(text) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("yes", "Yes", True),
        ("no", "No.", True),
        ("yes", "no", False),
        ("true", "yes", True),
        (None, "yes", False),
        ("maybe", "maybe", False),
    ],
)
def test_same(answer: str | None, gold: str | None, expected: bool) -> None:
    assert YES_NO.same(answer, gold) is expected


@settings(max_examples=2000)
@given(st.text(max_size=60))
def test_never_raises_and_never_invents(text: str) -> None:
    found = YES_NO.extract(text)
    assert found in (None, "yes", "no")
    if found:
        assert any(word in text.lower() for word in ("y", "n", "t", "f"))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is yes. Wait, no.", "no"),
        ("The answer is no. Wait, is that right? Yes.", "no"),
        (r"\boxed{\text{Yes}} or \boxed{\text{No}}", None),
        ("The answer is yes, if it rains; otherwise no.", None),
        ("The answer is it depends: yes in summer, no in winter", None),
        ("Some would say yes, others no.", None),
        ("<ANSWER>No</ANSWER> yes", "no"),
        ("The answer is Ｙｅｓ", "yes"),
        ("The answer is ye\u200bs", "yes"),
    ],
)
def test_both_answers_are_none_and_a_correction_counts(text: str, answer: str | None) -> None:
    assert YesNo().extract(text) == answer

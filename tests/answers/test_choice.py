import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotdistill.answers.choice import Choice

CHOICE = Choice()
OPTIONS = ("pond", "forest", "vitamin C", "rural area", "dark")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(B)", "B"),
        ("B", "B"),
        ("B.", "B"),
        ("b)", "B"),
        ("[B]", "B"),
        ("**B**", "B"),
        ("Option B", "B"),
        ("The answer is (B).", "B"),
        ("The answer is forest.", "B"),
        ("The answer is vitamin C.", "C"),
        ("not B", None),
        ("The answer is not B but C.", "C"),
        ("C, not B", "C"),
        ("It isn't (B)", None),
        ("probably (A), (B), (C), or (D).", None),
        ("The answer is A or B", None),
        ("A or B", None),
        ("The answer is (A) pond or (B) forest", None),
        ("The answer is (B) forest, since (A) is wrong", "B"),
        ("(A) pond is wrong. (B) forest is right.", "B"),
        (r"\boxed{B}", "B"),
        (r"\boxed{\text{(B)}}", "B"),
        ("A dog barks", None),
        ("The answer is A dog", None),
        ("The answer is A because of x", "A"),
        ("None of these", None),
        ("answer is F", None),
        ("BAD", None),
        ("The best place for this is surely a deep forest", "B"),
        ("the answer is B: forest", "B"),
        ("Among A through E, the answer is D. \n", "D"),
        ("Answer: C\n\nQ: more (A)\nA: The answer is D", "C"),
        ("", None),
        ("The answer is (Ｂ)", "B"),
        ("1. (A) no\n2. The answer is E", "E"),
        ("(E) dark is probably not the answer. A pond is wet, so the answer could be (A).", "A"),
    ],
)
def test_reads(text: str, expected: str | None) -> None:
    assert CHOICE.extract(text, options=OPTIONS) == expected


def test_longest_option_wins_and_numbers_are_whole() -> None:
    assert CHOICE.extract("The answer is blue car.", options=("blue", "blue car", "car")) == "B"
    assert CHOICE.extract("The answer is 15.", options=("5", "15", "1.5")) == "B"
    assert CHOICE.extract("The answer is 5.5.", options=("5", "15", "1.5")) is None


def test_without_options_ten_letters_are_known() -> None:
    assert CHOICE.extract("The answer is (J).") == "J"
    assert CHOICE.extract("The answer is (Z).") is None


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("B", "(B)", True),
        ("b.", "B", True),
        ("A", "B", False),
        (None, "B", False),
        ("B", None, False),
        ("", "", False),
        ("12", "12", False),
    ],
)
def test_same(answer: str | None, gold: str | None, expected: bool) -> None:
    assert CHOICE.same(answer, gold) is expected


@given(
    st.sampled_from("ABCDE"),
    st.sampled_from(["({})", "{}", "{}.", "**{}**", "option {}", "({})."]),
    st.sampled_from(["", "I think (A) is wrong. ", "It is dark. "]),
)
def test_any_letter_comes_back(letter: str, form: str, lead: str) -> None:
    text = f"{lead}The answer is {form.format(letter)}"
    assert CHOICE.extract(text, options=OPTIONS) == letter


@settings(max_examples=2000)
@given(st.text(max_size=60), st.lists(st.text(max_size=8), max_size=6))
def test_never_raises_and_stays_within_the_options(text: str, options: list[str]) -> None:
    found = CHOICE.extract(text, options=tuple(options))
    assert found is None or (len(found) == 1 and (not options or found in "ABCDEF"[: len(options)]))


COLOURS = ("red", "blue", "green", "black")


@pytest.mark.parametrize(
    ("text", "options", "letter"),
    [
        ("The answer is (B). No wait, (C).", COLOURS, "C"),
        ("The answer is anything but B.", COLOURS, None),
        ("The answer is unlikely to be B.", COLOURS, None),
        ("The answer is E, which is not listed. A is close.", COLOURS, None),
        ("The answer is blue-green.", COLOURS, None),
        (r"\boxed{A} and \boxed{B}", COLOURS, None),
        ("<ANSWER>B</ANSWER> A", COLOURS, "B"),
        ("I cannot answer that. A nurse may, or B.", COLOURS, None),
        ("C++ is right", COLOURS, None),
        ("The answer is C++.", ("C", "C++", "Java", "B"), "B"),
        ("The answer is -12.", ("12", "120", "-12.5", "0.12"), None),
        ("The answer is -12.", ("12", "-12", "1.2", "0.12"), "B"),
        ("The answer is hepatitis B", ("Hepatitis B virus", "hepatitis A", "flu"), None),
        ("The answer is E. coli.", ("yeast", "E. coli"), "B"),
    ],
)
def test_no_piece_of_an_answer_names_an_option(
    text: str, options: tuple[str, ...], letter: str | None
) -> None:
    assert Choice().extract(text, options=options) == letter

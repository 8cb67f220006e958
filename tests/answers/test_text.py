import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotdistill.answers.text import Text

TEXT = Text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"fnel"', "fnel"),
        (' "fnel".', "fnel"),
        ("fnel", "fnel"),
        ("The answer is fnel.", "fnel"),
        ("--> yajo", "yajo"),
        ('So the answer is "f" + "n" = "fn".', "fn"),
        ('The last letter of it is "a". Concatenating them all gives "aab".', "aab"),
        ("So we get aab.", "aab"),
        ("A text here with many many more words and it gives aab.", "aab"),
        ('The answer is the word "ab"', "ab"),
        (r"\boxed{\text{ab}}", "ab"),
        ("", None),
        (":\n\nnaae", "naae"),
        ("The answer is Lord of the Rings.", "Lord of the Rings"),
        (
            "This long text of very many words has nothing in it that one could call a conclusion",
            None,
        ),
    ],
)
def test_reads(text: str, expected: str | None) -> None:
    assert TEXT.extract(text) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("AB", "ab", True),
        (' "ab".', "ab", True),
        ("a b", "a  b", True),
        ("a b", "ab", False),
        ("", "", False),
        (None, "a", False),
    ],
)
def test_same(answer: str | None, gold: str | None, expected: bool) -> None:
    assert TEXT.same(answer, gold) is expected


@settings(max_examples=2000)
@given(st.text(max_size=60))
def test_never_raises_and_never_invents(text: str) -> None:
    found = TEXT.extract(text)
    assert found is None or "".join(found.split()) in "".join(text.split())


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("The answer is ab, no wait, ba.", "ba"),
        ("<ANSWER>ab</ANSWER> or so", "ab"),
        (r"The answer is \text{ab}.", "ab"),
        ("The answer is <b>ab</b>.", "ab"),
        ("The answer is a\u200bb", "ab"),
        ("The answer is Dr. Who. He is a man.", "Dr. Who"),
        ("The answer is St. Louis, Missouri.", "St. Louis, Missouri"),
        ("The answer is J. R. R. Tolkien. He wrote it.", "J. R. R. Tolkien"),
        ("The answer is A. It is first.", "A"),
    ],
)
def test_a_text_is_read_whole_and_without_its_marks(text: str, gold: str) -> None:
    assert Text().same(Text().extract(text), gold)


@pytest.mark.parametrize("text", ["I cannot answer that.", "I'm sorry, but I can't help with it."])
def test_a_refusal_is_no_text(text: str) -> None:
    assert Text().extract(text) is None

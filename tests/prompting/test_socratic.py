import pytest

from cotdistill.methods.socratic_cot import SocraticCot
from cotdistill.prompting.socratic import decomposition_quality
from cotdistill.records import Answer, Question, Step

GOLD = (
    Step("How many at first?", "3.", "3"),
    Step("How many are there then?", "3 + 8 = 11.", "11"),
)


@pytest.mark.parametrize(
    "text",
    [
        "How many at first? ** 3. --> 3\nHow many are there then? ** 3 + 8 = 11. --> 11",
        " How many at first? ** 3. | How many are there then? ** 3 + 8 = 11. | #### 11",
    ],
)
def test_sub_questions_are_found_in_both_variants(text: str) -> None:
    question = Question("q", "How many?", "11", steps=GOLD)
    found = decomposition_quality([(question, Answer("q", "11", text))])
    assert (found["sub_questions"], found["bleu"]) == (2.0, pytest.approx(100.0))
    none = decomposition_quality([(question, Answer("q", "11", "It is 11."))])
    assert none["sub_questions"] == 0


def test_quality_against_gold() -> None:
    question = Question("q", "How many?", "11", steps=GOLD)
    same = Answer("q", "11", "How many at first? ** 3.\nHow many are there then? ** 3 + 8 = 11.")
    short = Answer("q", "11", "How many at first? ** 3.")
    assert decomposition_quality([(question, same)]) == {
        "sub_questions": 2.0,
        "gold_sub_questions": 2.0,
        "same_count": 1.0,
        "bleu": pytest.approx(100.0),
    }
    both = decomposition_quality([(question, same), (question, short)])
    assert (both["sub_questions"], both["same_count"]) == (1.5, 0.5)
    assert 0 < both["bleu"] < 100


def test_without_gold_steps_there_is_nothing_to_compare() -> None:
    assert SocraticCot().measures([(Question("q", "How many?", "11"), Answer("q", "11", ""))]) == {}


def test_steps_without_sub_questions_are_no_reference() -> None:
    question = Question("q", "How many?", "11", steps=(Step("", "3 + 8 = 11.", "11"),))
    assert decomposition_quality([(question, Answer("q", "11", "How many? ** 3 + 8 = 11."))]) == {}

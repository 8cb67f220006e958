import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotdistill.answers.date import Date

DATE = Date()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("05/01/2021", "2021-05-01"),
        ("The answer is May 1, 2021.", "2021-05-01"),
        ("1st of May 2021", "2021-05-01"),
        ("2021-5-1", "2021-05-01"),
        ("31/12/2020", "2020-12-31"),
        ("02/30/2021", None),
        ("Yesterday was April 30, 2021. The answer is 05/01/2021.", "2021-05-01"),
        ("no date", None),
        ("5/1/21", "2021-05-01"),
        ("The answer is not 05/01/2021 but 05/02/2021", "2021-05-02"),
        ("", None),
    ],
)
def test_reads(text: str, expected: str | None) -> None:
    assert DATE.extract(text) == expected


def test_day_first_is_a_setting() -> None:
    assert Date(day_first=True).extract("05/01/2021") == "2021-01-05"


def test_same() -> None:
    assert DATE.same("2021-05-01", "05/01/2021")
    assert not DATE.same("2021-05-01", "05/02/2021")
    assert not DATE.same(None, None)


@given(
    st.dates(min_value=datetime.date(1000, 1, 1)),
    st.sampled_from(["%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y", "%d %b %Y", "%dth of %B, %Y"]),
)
def test_any_date_comes_back(day: datetime.date, form: str) -> None:
    assert DATE.extract(f"So it is {day.strftime(form)}.") == day.isoformat()


@settings(max_examples=1000)
@given(st.text(max_size=60))
def test_never_raises(text: str) -> None:
    DATE.extract(text)


@pytest.mark.parametrize(
    ("answer", "day"),
    [
        ("05/01/2021 or 05/02/2021", None),
        ("from 05/01/2021 to 05/03/2021", None),
        ("March 5, 2021–March 7, 2021", None),
        ("between 05/01/2021 and 05/03/2021", None),
        ("the day before 05/01/2021", None),
        ("3 days after 05/01/2021, so 05/04/2021", "2021-05-04"),
        ("05/01/2021 + 1 day = 05/02/2021", "2021-05-02"),
        ("05/01/2021, no wait, 05/02/2021", "2021-05-02"),
        ("05/01/2021 BC", None),
        ("5/1/99", "1999-05-01"),
        ("5/1/68", "2068-05-01"),
        ("May 1, 2021 (05/01/2021)", "2021-05-01"),
        (r"\boxed{05/01/2021} or \boxed{05/02/2021}", None),
    ],
)
def test_a_range_and_a_distance_are_no_date(answer: str, day: str | None) -> None:
    assert Date().extract(f"It was 01/01/2020. The answer is {answer}.") == day

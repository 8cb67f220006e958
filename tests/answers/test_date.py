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

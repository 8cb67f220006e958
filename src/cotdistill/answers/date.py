"""Calendar dates: read in the usual writings, returned as YYYY-MM-DD, compared by day.

Read: 05/01/2021 (month first; day first where `day_first` is set, and wherever the other order is
no date), 2021-05-01, May 1, 2021, 1 May 2021, 1st of May, 2021. A day that no calendar has
(02/30/2021) is no answer.

    >>> Date().extract("Yesterday was April 30, 2021. The answer is 05/01/2021.")
    '2021-05-01'
"""

import datetime
import re
from collections.abc import Iterator, Sequence

from cotdistill.contracts import AnswerType
from cotdistill.records import NO_ANSWER
from cotdistill.text.markers import ascii_digits, concluded, negated

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\b\.?"
)
# A date in figures or with a month's name; every repeat is bounded.
_DATE = re.compile(
    r"(?<![\d/.-])(?:(?P<iso_year>\d{4})[-/.](?P<iso_month>\d{1,2})[-/.](?P<iso_day>\d{1,2})"
    r"|(?P<first>\d{1,2})(?P<separator>[-/.])(?P<second>\d{1,2})(?P=separator)(?P<year>\d{4}|\d{2})"
    r"|"
    + _MONTH.format("month")
    + r"\s{1,3}(?P<day>\d{1,2})(?:st|nd|rd|th)?\s?,?\s{1,3}(?P<month_year>\d{4})"
    r"|(?P<day_before>\d{1,2})(?:st|nd|rd|th)?(?:\s{1,3}of)?\s{1,3}"
    + _MONTH.format("month_after")
    + r",?\s{1,3}(?P<year_after>\d{4})"
    r")(?!\d|/\d|-\d)",
    re.IGNORECASE,
)


class Date(AnswerType):
    """A calendar date."""

    day_first: bool = False

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        def first(tail: str) -> str | None:
            return next(self._dates(tail), NO_ANSWER)

        def last(text: str) -> str | None:
            return next(reversed([*self._dates(text)]), NO_ANSWER)

        return concluded(ascii_digits(text), markers, first, last)

    def gold(self, text: str) -> str | None:
        whole = _DATE.fullmatch(ascii_digits(text).strip(" .\n"))
        # As it is written: a student learns the form that the task asks for.
        return text.strip(" .\n") if whole and self._day(whole) else None

    def same(self, answer: str | None, gold: str | None) -> bool:
        if answer is None or gold is None:
            return False
        one, other = (next(self._dates(ascii_digits(text)), NO_ANSWER) for text in (answer, gold))
        return one is not None and one == other

    def _dates(self, text: str) -> Iterator[str]:
        for found in _DATE.finditer(text):
            day = self._day(found)
            if day is not None and not negated(text, found.start()):
                yield day.isoformat()

    def _day(self, found: re.Match[str]) -> datetime.date | None:
        if found["iso_year"]:
            return _real(found["iso_year"], found["iso_month"], found["iso_day"])
        if found["month"]:
            return _real(found["month_year"], _month(found["month"]), found["day"])
        if found["month_after"]:
            return _real(found["year_after"], _month(found["month_after"]), found["day_before"])
        year = found["year"] if len(found["year"]) == 4 else str(2000 + int(found["year"]))
        month_first = _real(year, found["first"], found["second"])
        day_first = _real(year, found["second"], found["first"])
        return (day_first or month_first) if self.day_first else (month_first or day_first)


def _month(name: str) -> int:
    return _MONTHS.index(name[:3].lower()) + 1


def _real(year: str, month: str | int, day: str) -> datetime.date | None:
    try:
        return datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None

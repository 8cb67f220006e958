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
from cotdistill.text.markers import ascii_digits, concluded, negated, undecided

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
    r")(?!\d|/\d|-\d|\s?BCE?\b)",
    re.IGNORECASE,
)
# "3 days after" a date is another date.
_AWAY = re.compile(
    r"\b(?:days?|weeks?|fortnights?|months?|years?)\s(?:before|after|from|prior\sto|later\sthan"
    r"|earlier\s"
    r"than)\s(?:the\s)?$",
    re.IGNORECASE,
)
# What joins the two ends of a range, or two answers.
_JOINED = re.compile(r"\s{0,2}(?:[-–—/,;&]|or|to|and|until|till|through)\s{0,2}", re.IGNORECASE)
# A calculation before its result.
_RESULT = re.compile(r"^[^\n.=]{0,40}=\s{0,2}$")


class Date(AnswerType):
    """A calendar date."""

    day_first: bool = False

    def extract(
        self, text: str, *, options: Sequence[str] = (), markers: Sequence[str] = ()
    ) -> str | None:
        def first(tail: str) -> str | None:
            found = [] if undecided(tail) else [*self._found(tail)]
            if len(found) > 1 and _RESULT.search(tail[found[0].end() : found[1].start()]):
                found = found[1:]
            return self._one(tail, found[:2])

        def last(text: str) -> str | None:
            return self._one(text, [*self._found(text)][:-3:-1])

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
        return (str(self._day(found)) for found in self._found(text))

    def _found(self, text: str) -> Iterator[re.Match[str]]:
        for found in _DATE.finditer(text):
            away = _AWAY.search(text[max(0, found.start() - 40) : found.start()])
            if self._day(found) is not None and not away and not negated(text, found.start()):
                yield found

    def _one(self, text: str, found: Sequence[re.Match[str]]) -> str | None:
        """Return the first of up to two dates; none where the two are a range or a choice."""
        days = [str(self._day(one)) for one in found]
        if len(set(days)) == 2:
            first, second = sorted(found, key=lambda one: one.start())
            if _JOINED.fullmatch(text, first.end(), second.start()):
                return NO_ANSWER
        return days[0] if days else NO_ANSWER

    def _day(self, found: re.Match[str]) -> datetime.date | None:
        if found["iso_year"]:
            return _real(found["iso_year"], found["iso_month"], found["iso_day"])
        if found["month"]:
            return _real(found["month_year"], _month(found["month"]), found["day"])
        if found["month_after"]:
            return _real(found["year_after"], _month(found["month_after"]), found["day_before"])
        year = found["year"]
        if len(year) == 2:  # as POSIX reads it
            year = str(int(year) + (1900 if year >= "69" else 2000))
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

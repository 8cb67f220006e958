"""The exceptions a user of the library can catch.

CotdistillError
├── UserError            wrong input; the message names file, line, field and remedy
│   ├── RecipeError      the recipe
│   ├── DataError        a data file
│   ├── PluginError      an unknown plug-in name, or settings it does not have
│   └── MissingExtra     an optional package is not installed; the message has the pip command
├── TeacherError         an endpoint or model could not answer
│   ├── FatalTeacherError    asking again cannot help (bad key, bad request): the run stops at once
│   └── QuestionFailed       one request failed for good after its retries; the run continues
├── BudgetSpent          the recipe's budget is used up: results are kept, a later run continues
└── StoreError           a run folder or completion log cannot be read or written
"""


class CotdistillError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(CotdistillError, ValueError):
    """Wrong input; the message is one line that names the place and the remedy."""


class RecipeError(UserError):
    """The recipe is wrong."""


class DataError(UserError):
    """A data file is wrong; the message names file, line and field."""


class PluginError(UserError):
    """No plug-in of that name, or it refuses its settings."""


class MissingExtra(UserError):
    """An optional dependency is missing; the message has the pip command."""


class TeacherError(CotdistillError):
    """A model behind `ask` could not answer."""


class FatalTeacherError(TeacherError):
    """Asking again cannot help; the whole run stops with this message."""


class QuestionFailed(TeacherError):
    """One request failed for good; `reason` is a short class of failure for the counts in the
    report.

    `transient` marks a failure worth retrying (an outage, a limit): a later call of the same run
    asks again.
    """

    def __init__(self, message: str, reason: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.reason, self.transient = reason, transient


class BudgetSpent(CotdistillError):
    """The budget is used up."""


class StoreError(CotdistillError):
    """A run folder or completion log cannot be used; the message says what was saved."""

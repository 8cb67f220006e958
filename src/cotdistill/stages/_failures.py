"""Questions that failed for good in a stage: counted by reason, with the first words of each."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cotdistill.errors import QuestionFailed, TeacherError


@dataclass
class Failures:
    """Counts by reason; `transient` is how many of them the same command asks again."""

    counts: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    transient: int = 0

    def add(self, error: QuestionFailed) -> None:
        self.counts[error.reason] += 1
        self.messages.setdefault(error.reason, str(error))
        self.transient += error.transient

    def to_json(self) -> dict[str, Any]:
        """Return the fields for an artifact's metadata."""
        return {
            "failed": dict(self.counts.most_common()),
            "messages": self.messages,
            "transient": self.transient,
        }

    def line(self, label: str, questions: int) -> str:
        """Return one line for people: how many failed, why, and what happens to them."""
        reasons = "; ".join(
            f"{count} × {reason} ({self.messages[reason]})"
            for reason, count in self.counts.most_common()
        )
        again = f"; the same command asks {self.transient} of them again" if self.transient else ""
        return f"{label}: {self.counts.total()} of {questions} questions failed: {reasons}{again}"

    def refuse_all(self, label: str, questions: int) -> None:
        """Stop where nothing was answered.

        Raises:
            TeacherError: every question failed; the message has the reasons.
        """
        if questions and self.counts.total() == questions:
            raise TeacherError(self.line(label, questions))

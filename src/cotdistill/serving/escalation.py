"""Asking the teacher where the student is not sure: confidence, calibration, and what it saves.

A student's *signal* is the mean log-probability of the tokens it wrote, or the agreement of its
votes where its strategy votes. `fit` turns it into a probability of being right, by logistic
regression on the validation split (Platt 1999, with his targets, which hold small splits off 0 and
1). For every threshold on that probability `curve` says, again on validation, how accurate student
and teacher together are and how many of the teacher's tokens they need. An answer that is none has
confidence 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from cotdistill.contracts import AnswerType, Method
from cotdistill.errors import UserError
from cotdistill.evaluation.statistics import wilson
from cotdistill.records import NO_ANSWER, Answer, Completion, Record


@dataclass(frozen=True, slots=True)
class Calibration(Record):
    """Turns a signal into the probability of being right."""

    slope: float
    intercept: float

    def confidence(self, signal: float | None) -> float:
        """Return the probability, 0 where there is no answer."""
        return (
            0.0
            if signal is None
            else float(scipy.special.expit(self.slope * signal + self.intercept))
        )


@dataclass(frozen=True)
class Escalation:
    """The rule by which a system asks its teacher: below this probability, by this method."""

    calibration: Calibration
    below: float
    method: Method


@dataclass(frozen=True, slots=True)
class Measured(Record):
    """One validation question: the student's signal, who is right, and the teacher's tokens."""

    question_id: str
    signal: float | None
    student: bool
    teacher: bool
    teacher_tokens: int


@dataclass(frozen=True, slots=True)
class Operating(Record):
    """One threshold: below it the teacher is asked.

    `share` of the questions are put to it, `tokens` of its tokens a question are used, which are
    `token_share` of what it needs alone; `low` and `high` are the accuracy's 95 % interval.
    """

    below: float
    share: float
    accuracy: float
    low: float
    high: float
    tokens: float
    token_share: float


def signal(
    answer: Answer, completions: Sequence[tuple[str, Completion]], answer_type: AnswerType
) -> float | None:
    """Return how sure a student is; None where it has no answer.

    Raises:
        UserError: its engine reports no probabilities, and its strategy does not vote.
    """
    if answer.answer is NO_ANSWER:
        return None
    if answer.votes:
        agreeing = sum(answer_type.same(vote, answer.answer) for vote in answer.votes)
        return agreeing / len(answer.votes)
    known = [
        one
        for role, one in completions
        if role not in ("teacher", "guide") and one.logprob is not None and one.completion_tokens
    ]
    if not known:
        raise UserError(
            "the student's engine reports no probabilities to be sure or unsure by; "
            "choose a strategy that votes (self_consistency)"
        )
    tokens = sum(one.completion_tokens for one in known)
    return sum((one.logprob or 0.0) * one.completion_tokens for one in known) / tokens


def fit(measured: Sequence[Measured]) -> Calibration:
    """Return the calibration of a validation split; a signal that misleads counts for nothing."""
    known = [(one.signal, one.student) for one in measured if one.signal is not None]
    signals = np.array([value for value, _ in known])
    right = np.array([student for _, student in known], dtype=bool)
    above, below = (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2)
    targets = np.where(right, above, below)

    def loss(parameters: np.ndarray) -> float:
        logits = parameters[0] * signals + parameters[1]
        return float(np.logaddexp(0, logits).sum() - (targets * logits).sum())

    found = scipy.optimize.minimize(loss, np.zeros(2), bounds=[(0, None), (None, None)])
    return Calibration(float(found.x[0]), float(found.x[1]))


def curve(measured: Sequence[Measured], calibration: Calibration) -> list[Operating]:
    """Return every threshold that differs, from the student alone to the teacher alone."""
    sure = sorted((calibration.confidence(one.signal), n) for n, one in enumerate(measured))
    confidences = [confidence for confidence, _ in sure]
    ordered = [measured[n] for _, n in sure]
    points = []
    for asked, threshold in enumerate([*confidences, 1.0]):
        if asked and threshold == confidences[asked - 1]:
            continue
        points.append(_operating(ordered, asked, threshold))
    return points


def at(measured: Sequence[Measured], calibration: Calibration, below: float) -> Operating:
    """Return what a threshold gives on the validation split."""
    sure = sorted((calibration.confidence(one.signal), n) for n, one in enumerate(measured))
    asked = sum(confidence < below for confidence, _ in sure)
    return _operating([measured[n] for _, n in sure], asked, below)


def cheapest(points: Sequence[Operating], accuracy: float) -> Operating | None:
    """Return the first threshold that is so accurate; None where none is."""
    return next((one for one in points if one.accuracy >= accuracy), None)


def verdict(points: Sequence[Operating]) -> str:
    """Say what 95 % of the teacher's accuracy costs, and whether the student is good enough."""
    wanted = 0.95 * points[-1].accuracy
    found = cheapest(points, wanted) or points[-1]
    told = f"95 % of the teacher's accuracy ({100 * wanted:.1f} %) takes"
    cost = f"{100 * found.token_share:.0f} % of its tokens on validation"
    if found.token_share <= 0.5:
        return f"{told} {cost} (below {found.below:.3f}): the student is good enough"
    return f"{told} {cost}, more than half: the student is not good enough"


def _operating(ordered: Sequence[Measured], asked: int, below: float) -> Operating:
    """Return what comes of asking the teacher the first so many questions."""
    n = len(ordered)
    right = sum(one.teacher for one in ordered[:asked]) + sum(
        one.student for one in ordered[asked:]
    )
    tokens = sum(one.teacher_tokens for one in ordered[:asked])
    alone = sum(one.teacher_tokens for one in ordered)
    share = tokens / alone if alone else 0.0
    return Operating(below, asked / n, right / n, *wilson(right, n), tokens / n, share)

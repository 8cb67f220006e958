"""Confidence is calibrated, the curve is counted right, and the verdict is fair."""

from __future__ import annotations

import numpy as np
import pytest

from cotdistill.answers.number import Number
from cotdistill.errors import UserError
from cotdistill.records import Answer, Completion
from cotdistill.serving.escalation import (
    Calibration,
    Measured,
    at,
    cheapest,
    curve,
    fit,
    signal,
    verdict,
)


def drawn(n: int, slope: float = 4.0) -> list[Measured]:
    """Questions whose student is right with the probability that its signal says."""
    random = np.random.default_rng(0)
    signals = random.uniform(-2, 0, n)
    right = random.random(n) < 1 / (1 + np.exp(-(slope * signals + 3)))
    return [
        Measured(str(i), float(s), bool(r), i % 20 != 0, 10)
        for i, (s, r) in enumerate(zip(signals, right, strict=True))
    ]


def test_a_calibrated_confidence_is_the_share_that_is_right() -> None:
    calibration = fit(drawn(4_000))
    assert calibration.slope == pytest.approx(4, rel=0.15)
    assert calibration.intercept == pytest.approx(3, rel=0.15)
    fresh = drawn(4_000)
    sure = [one for one in fresh if 0.7 < calibration.confidence(one.signal) < 0.9]
    assert np.mean([one.student for one in sure]) == pytest.approx(0.8, abs=0.05)


def test_a_signal_that_misleads_counts_for_nothing_and_no_answer_is_never_sure() -> None:
    calibration = fit(drawn(500, slope=-4.0))
    assert calibration.slope == 0
    assert calibration.confidence(None) == 0
    always = fit([Measured("a", -0.1, True, True, 1), Measured("b", None, False, True, 1)])
    assert 0.5 < always.confidence(-0.1) < 1


ROWS = [
    Measured("sure", -0.1, True, True, 10),
    Measured("unsure", -0.5, False, True, 20),
    Measured("as unsure", -0.5, True, False, 20),
    Measured("silent", None, False, True, 50),
]


def test_the_curve_counts_who_is_asked() -> None:
    points = curve(ROWS, Calibration(1.0, 0.0))
    assert [(one.share, one.accuracy, one.tokens) for one in points] == [
        (0, 0.5, 0),
        (0.25, 0.75, 12.5),
        (0.75, 0.75, 22.5),
        (1, 0.75, 25),
    ]
    assert [one.token_share for one in points] == [0, 0.5, 0.9, 1]
    for one in points:
        assert at(ROWS, Calibration(1.0, 0.0), one.below) == one
    assert cheapest(points, 0.7) == points[1] and cheapest(points, 0.8) is None
    assert "takes 50 % of its tokens" in verdict(points) and "is good enough" in verdict(points)
    poor = [Measured(str(n), -n, False, True, 1) for n in range(4)]
    assert "the student is not good enough" in verdict(curve(poor, fit(poor)))


def test_the_signal_is_agreement_or_probability() -> None:
    number, texts = Number(), [("student", Completion("x", logprob=-0.2, completion_tokens=3))]
    texts += [("student", Completion("y", logprob=-0.6, completion_tokens=1))]
    texts += [("teacher", Completion("z", logprob=-9.0, completion_tokens=9))]
    assert signal(Answer("q", "7", ""), texts, number) == pytest.approx(-0.3)
    assert signal(Answer("q", None, ""), texts, number) is None
    assert signal(Answer("q", "7", "", votes=("7.0", None, "8", "7")), [], number) == 0.5
    with pytest.raises(UserError, match="reports no probabilities"):
        signal(Answer("q", "7", ""), [("student", Completion("x"))], number)

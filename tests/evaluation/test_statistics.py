import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from cotdistill.evaluation import statistics


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_solves_the_score_equation(correct: int, total: int) -> None:
    correct = min(correct, total)
    share = correct / total
    low, high = statistics.wilson(correct, total)
    assert 0 <= low <= share <= high <= 1
    for bound in {low, high} - {0.0, 1.0}:
        z = (share - bound) / (bound * (1 - bound) / total) ** 0.5
        assert abs(z) == pytest.approx(1.959964, rel=1e-4)


def test_an_interval_of_a_paired_difference_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(400):
        hard = rng.random(150)
        first, second = rng.random(150) < hard, rng.random(150) < hard * 0.8
        found = statistics.compare(first, second)
        held += found.low <= 0.1 <= found.high
    assert 0.92 <= held / 400 <= 0.985


def test_wilson_of_nothing_knows_nothing() -> None:
    assert statistics.wilson(0, 0) == (0.0, 1.0)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    alike = rng.random((3, 500)) < 0.5
    apart = np.stack([rng.random(500) < share for share in (0.3, 0.5, 0.7)])
    narrow, wide = statistics.accuracy_interval(alike), statistics.accuracy_interval(apart)
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_two_way_interval_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        question, seed = rng.normal(0, 1, 100), rng.normal(0, 0.3, 5)
        scores = (question[None, :] + seed[:, None] + rng.normal(0, 1, (5, 100))) > 0
        low, high = statistics.accuracy_interval(scores)
        covered += low <= 0.5 <= high
    assert 0.92 <= covered / 400 <= 0.995


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_exact_sign_test(first: int, second: int) -> None:
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert statistics.mcnemar_exact(first, second) == pytest.approx(expected)


def test_paired_tests_find_a_difference_and_only_then() -> None:
    rng = np.random.default_rng(3)
    hard = rng.random(300)
    base = np.stack([rng.random(300) < 0.6 * hard for _ in range(3)])
    better = np.stack([rng.random(300) < np.minimum(1, 0.6 * hard + 0.3) for _ in range(3)])
    same = np.stack([rng.random(300) < 0.6 * hard for _ in range(3)])
    for test in (statistics.compare, statistics.paired_clusters):
        assert test(better, base).p < 0.01
        assert test(better[0], base[0]).p < 0.01
        assert test(same, base).p > 0.05
    found = statistics.compare(better, base)
    assert found.low < 0.3 < found.high and found.difference == pytest.approx(
        better.mean() - base.mean()
    )
    assert statistics.compare(better[0], base[0]).test == "exact McNemar"


def test_false_findings_are_as_rare_as_stated() -> None:
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(400):
        hard = rng.random(80)
        first, second = (rng.random((3, 80)) < hard + rng.normal(0, 0.05, (3, 1)) for _ in range(2))
        found += statistics.compare(first, second).p < 0.05
    assert found / 400 < 0.08


def test_a_baseline_of_one_seed_is_paired_with_the_mean() -> None:
    assert statistics.compare(np.ones((3, 20)), np.zeros(20)).p < 1e-5
    assert statistics.compare(np.ones((3, 20)), np.ones(20)).p == 1.0
    with pytest.raises(ValueError, match="same questions"):
        statistics.compare(np.ones(3), np.ones(4))


@pytest.mark.parametrize("questions", [1, 5, 200])
def test_a_difference_that_all_questions_show_has_an_interval_too(questions: int) -> None:
    right, wrong = np.ones(questions), np.zeros(questions)
    better, worse, equal = (
        statistics.compare(*both) for both in ((right, wrong), (wrong, right), (right, right))
    )
    most = statistics.wilson(0, questions)[1]
    assert (better.low, better.high) == (max(-1.0, 1 - 2 * most), 1.0)
    assert (worse.low, worse.high) == (-1.0, min(1.0, 2 * most - 1))
    assert (equal.low, equal.high) == (-most, most)


def test_holm() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]


def test_accuracy_by_group_sorts_numbers_as_numbers() -> None:
    table = statistics.accuracy_by([10, 2, 2, "none"], [1, 0, 1, 1])
    assert list(table) == [2, 10, "none"]
    assert table[2]["accuracy"] == 0.5 and table[2]["n"] == 2

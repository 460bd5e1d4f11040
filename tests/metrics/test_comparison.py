"""Intervals, paired differences and comparisons with answers known by hand."""

import numpy as np
import pytest
from scipy import stats

from mfbench.mfcore.metrics.comparison import (
    best_arms,
    compare_arms,
    compare_means,
    log_means,
    paired_difference,
    probability_best,
)
from mfbench.mfcore.metrics.intervals import mean_interval, t_interval
from mfbench.mfcore.metrics.recommendation import recommend


def runs(table):
    """Runs from a (draws, seeds) table."""
    return {(d, s): float(value) for d, row in enumerate(table) for s, value in enumerate(row)}


def test_mean_interval_is_students_over_draw_means():
    """Draw means 2 and 4: standard error 1, and the quantile at one degree of freedom."""
    interval = mean_interval(runs([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))
    assert (interval.estimate, interval.n_runs, interval.n_units, interval.over) == (3.0, 6, 2, "draws")
    assert interval.half_width == pytest.approx(12.7062047)
    assert 3.0 in interval
    assert 20.0 not in interval


def test_mean_interval_does_not_let_a_failed_run_shift_the_draws():
    """One run of the second draw is missing: its mean is that of the rest, and weighs as much as the first's."""
    assert mean_interval({(0, 0): 1.0, (0, 1): 1.0, (1, 0): 4.0}).estimate == pytest.approx(2.5)


def test_mean_interval_of_one_draw_is_over_seeds():
    interval = mean_interval(runs([[1.0, 2.0, 3.0]]))
    assert interval.over == "seeds"
    assert interval.half_width == pytest.approx(stats.t.ppf(0.975, 2) / np.sqrt(3))


def test_mean_interval_of_one_run_has_no_bounds():
    interval = mean_interval({(0, 0): 7.0})
    assert (interval.estimate, interval.over) == (7.0, "none")
    assert np.isnan(interval.low)
    assert np.isnan(interval.half_width)


@pytest.mark.parametrize("bad", [{}, {(0, 0): float("nan")}, {(0, 0): 1.0, (1, 0): float("inf")}])
def test_a_run_without_a_number_is_not_averaged(bad):
    with pytest.raises(ValueError, match=r"expected at least one|count it as failed"):
        mean_interval(bad)
    with pytest.raises(ValueError, match="finite"):
        t_interval([])


def test_paired_difference_cancels_what_draws_have_in_common():
    """The draws differ by a factor of ten, the arms by exactly two in each run: no spread is left."""
    first, second = runs([[2.0, 4.0], [20.0, 40.0]]), runs([[1.0, 2.0], [10.0, 20.0]])
    result = paired_difference(first, second)
    assert result.interval.estimate == pytest.approx(2.0)
    assert (result.interval.low, result.interval.high) == pytest.approx((2.0, 2.0))
    assert result.p_t == pytest.approx(0.0, abs=1e-6)
    assert result.p_sign_flip == 0.5  # two draws, all that flipping them can show


def test_paired_difference_on_the_difference_scale():
    result = paired_difference(runs([[5.0], [7.0], [9.0]]), runs([[4.0], [5.0], [6.0]]), scale="difference")
    assert result.interval.estimate == pytest.approx(2.0)
    assert result.interval.half_width == pytest.approx(stats.t.ppf(0.975, 2) / np.sqrt(3))
    assert result.p_t == pytest.approx(0.07417990)
    assert result.p_sign_flip == 0.25


def test_paired_difference_counts_what_it_leaves_out():
    first = runs([[2.0, 2.0], [2.0, 2.0]])
    second = {key: 1.0 for key in first if key != (1, 1)} | {(2, 0): 1.0}
    result = paired_difference(first, second)
    assert (result.interval.n_runs, result.n_only_first, result.n_only_second) == (3, 1, 1)
    with pytest.raises(ValueError, match="in common"):
        paired_difference({(0, 0): 1.0}, {(1, 0): 1.0})
    with pytest.raises(ValueError, match="positive"):
        paired_difference({(0, 0): 0.0}, {(0, 0): 1.0})


def test_two_arms_get_students_paired_test():
    """With no other arm to borrow from, the comparison of all is that of the pair."""
    first, second = runs([[2.0], [3.0], [2.5]]), runs([[1.0], [1.2], [1.3]])
    comparison, pair = compare_arms({"a": first, "b": second}), paired_difference(first, second)
    ratio = comparison.ratio("a", "b")
    assert comparison.degrees_of_freedom == 2.0
    assert (ratio.low, ratio.high) == pytest.approx((pair.interval.low, pair.interval.high))
    assert comparison.p_different("a", "b") == pytest.approx(pair.p_t)


def test_moderated_variance_by_hand():
    """Three arms, two draws: d = 1, d0 = min(4, 1) = 1, and the mean of own and common variance."""
    logs = {"a": [0.0, 0.2], "b": [1.0, 1.0], "c": [2.0, 2.4]}
    comparison = compare_arms({arm: runs(np.exp([[x] for x in draws])) for arm, draws in logs.items()})
    # Half differences between draws 0.1, 0, 0.2, less their mean 0.1: interaction 0, -0.1, 0.1 (signs alternate).
    pooled = 2 * (0.1**2 + 0.1**2) / 2  # sum of squares 0.04 over (3 - 1) · 1 degrees of freedom
    own = 2 * (0.1 - 0.0) ** 2  # variance of the differences b - a between the draws
    _, error = comparison.difference("b", "a")
    assert comparison.degrees_of_freedom == 2.0
    assert error == pytest.approx(np.sqrt((2 * pooled + own) / 2 / 2))


def test_means_that_are_known_give_the_same_comparison_and_samples_are_drawn_once():
    rng = np.random.default_rng(3)
    errors = {arm: runs(np.exp(rng.normal(size=(4, 2)))) for arm in "abc"}
    first = compare_arms(errors)
    second = compare_means({arm: log_means(own) for arm, own in errors.items()}, n_runs=8)
    assert (second.arms, second.n_runs, second.n_units, second.over) == (("a", "b", "c"), 8, 4, "draws")
    assert np.array_equal(first.centre, second.centre)
    assert np.array_equal(first.covariance, second.covariance)
    chances = probability_best(first)
    probability_best(first, seed=1)
    assert probability_best(second) == chances


def test_a_clear_winner_is_the_only_best():
    tables = {"good": [[1.0], [1.1], [0.9]], "poor": [[9.0], [10.0], [11.0]], "worse": [[30.0], [29.0], [31.0]]}
    comparison = compare_arms({arm: runs(table) for arm, table in tables.items()})
    assert best_arms(comparison) == ("good",)
    assert probability_best(comparison)["good"] > 0.99


def test_equal_arms_tie_and_share():
    table = runs([[1.0], [1.2], [0.8]])
    comparison = compare_arms({"a": table, "b": table})
    assert best_arms(comparison) == ("a", "b")
    assert probability_best(comparison) == {"a": 0.5, "b": 0.5}
    assert comparison.p_different("a", "b") == 1.0


def test_one_run_cannot_rank():
    comparison = compare_arms({"a": {(0, 0): 1.0}, "b": {(0, 0): 50.0}})
    assert best_arms(comparison) == ("a", "b")
    assert all(np.isnan(p) for p in probability_best(comparison).values())
    assert np.isnan(comparison.p_different("a", "b"))
    assert np.isnan(comparison.ratio("a", "b").low)


def test_probabilities_agree_with_the_one_sided_test():
    first, second = runs([[1.0], [1.1], [1.05]]), runs([[1.1], [1.12], [1.2]])
    comparison = compare_arms({"a": first, "b": second})
    expected = 1.0 - comparison.p_worse("b", "a")
    assert probability_best(comparison, n_samples=200_000)["a"] == pytest.approx(expected, abs=0.005)


def test_recommendation_names_a_clear_winner():
    found = recommend({"good": runs([[1.0], [1.1], [0.9]]), "poor": runs([[9.0], [10.0], [11.0]])})
    assert found.arm == "good"
    assert found.probability > 0.8
    assert next(iter(found.probabilities)) == "good"
    assert found.ties == ("good",)


def test_recommendation_abstains_between_equals():
    found = recommend({"a": runs([[1.0], [1.2], [0.8]]), "b": runs([[1.1], [0.9], [1.0]])})
    assert found.arm is None
    assert found.probability < 0.8
    assert "no arm reaches" in found.reason


@pytest.mark.parametrize("table", [[[1.0]], [[1.0, 1.1, 1.2]]])
def test_recommendation_needs_two_draws(table):
    found = recommend({"a": runs(table), "b": runs(np.asarray(table) * 50)})
    assert found.arm is None
    assert np.isnan(found.probability)
    assert "two draws" in found.reason


def test_recommendation_does_not_name_an_arm_that_fails():
    good = runs([[1.0, 1.0], [1.1, 1.1], [0.9, 0.9]])
    del good[1, 1]
    found = recommend({"good": good, "poor": runs([[9.0, 9.0], [10.0, 9.9], [11.0, 11.1]])}, n_failed={"good": 1})
    assert found.arm is None
    assert found.probability > 0.8
    assert "1 of its runs failed" in found.reason
    assert found.n_failed == {"good": 1}


def test_recommendation_needs_two_arms():
    assert "nothing can be compared" in recommend({"a": runs([[1.0], [2.0]]), "b": {}}).reason

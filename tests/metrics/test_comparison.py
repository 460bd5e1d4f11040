"""Intervals, paired differences and comparisons with answers known by hand."""

import numpy as np
import pytest
from scipy import stats

from mfbench.mfcore.metrics.arm_spread import joint_degrees_of_freedom
from mfbench.mfcore.metrics.comparison import (
    best_arms,
    compare_arms,
    paired_difference,
    probability_best,
)
from mfbench.mfcore.metrics.intervals import mean_interval, t_interval
from mfbench.mfcore.metrics.structures import combined, structure_errors


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


def test_samples_of_a_seed_are_the_same_each_time():
    comparison = compare_arms({arm: runs(np.exp(np.random.default_rng(3).normal(size=(4, 2)))) for arm in "abc"})
    chances = probability_best(comparison)
    probability_best(comparison, seed=1)
    assert probability_best(comparison) == chances


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


def test_pseudo_values_of_a_mean_are_its_groups():
    """Equal weights: errors 1, 2, 3 of mean 2 deviate by -1/2, 0 and 1/2; joined, so do logarithms."""
    found = structure_errors({(0, 0): [1.0, 2.0, 3.0]}, np.ones(3))
    assert found.deviations[0, 0] == pytest.approx([-0.5, 0.0, 0.5])
    assert found.degrees_of_freedom == pytest.approx(2.0)
    half = combined([(0.5, found), (0.5, structure_errors({(0, 0): [2.0, 2.0, 2.0]}, np.ones(3)))])
    assert half.deviations[0, 0] == pytest.approx([-0.25, 0.0, 0.25])
    assert structure_errors({}, [8.0, 1.0, 1.0]).degrees_of_freedom < 0.1  # as good as one group
    with pytest.raises(ValueError, match="finite errors"):
        structure_errors({(0, 0): [1.0, np.nan, 3.0]}, np.ones(3))


def test_of_one_run_s_groups_two_arms_are_compared_by_students_t():
    """No scatter over runs: over four groups the difference is Student's with three degrees of freedom."""
    errors = {"a": runs([[1.0], [1.0], [1.0]]), "b": runs([[1.1], [1.1], [1.1]])}
    groups = {"a": [0.9, 1.1, 1.2, 0.8], "b": [1.1, 1.2, 0.9, 1.2]}
    structures = {arm: structure_errors(dict.fromkeys(errors[arm], groups[arm]), np.ones(4)) for arm in errors}
    comparison = compare_arms(errors, structures)
    contributions = [np.array(groups[arm]) / np.mean(groups[arm]) for arm in "ab"]
    error = (contributions[0] - contributions[1]).std(ddof=1) / 2.0
    t = np.log(1.1) / error
    assert comparison.p_worse("b", "a") == pytest.approx(stats.t.sf(t, 3))
    assert comparison.n_groups == 4
    assert compare_arms(errors).p_worse("b", "a") == 0.0  # without the groups it seems certain


def test_scatter_by_run_and_by_group_adds_up():
    generator = np.random.default_rng(0)
    draws, groups = 0.1 * generator.normal(size=(6, 1)), 0.2 * generator.normal(size=(1, 8))
    table = np.exp(draws) * (1.0 + groups)
    errors = {"a": runs(table.mean(axis=1)[:, None]), "b": runs(np.full((6, 1), 1.0))}
    structures = {
        "a": structure_errors({(d, 0): table[d] for d in range(6)}, np.ones(8)),
        "b": structure_errors({(d, 0): np.ones(8) for d in range(6)}, np.ones(8)),
    }
    _, error = compare_arms(errors, structures).difference("a", "b")
    relative = groups / (1.0 + groups.mean())
    assert error**2 == pytest.approx(draws.var(ddof=1) / 6 + relative.var(ddof=1) / 8)


def test_a_missing_run_changes_nothing_between_the_other_arms():
    logs = {"a": [0.0, 0.1, 0.3, 0.2], "b": [0.2, 0.2, 0.4, 0.5], "c": [0.5, 0.4, 0.9, 0.6]}
    errors = {arm: runs(np.exp([[x] for x in draws])) for arm, draws in logs.items()}
    whole = compare_arms(errors, prior_units=0.0)
    lacking = compare_arms({**errors, "c": {k: v for k, v in errors["c"].items() if k != (2, 0)}}, prior_units=0.0)
    assert lacking.ratio("a", "b") == whole.ratio("a", "b")
    assert lacking.p_worse("a", "b") == pytest.approx(whole.p_worse("a", "b"), rel=1e-12)
    estimate, error = lacking.difference("c", "a")
    kept = [0.5, 0.3, 0.4]  # of the draws that both have
    assert error == pytest.approx(np.std(kept, ddof=1) / np.sqrt(3), rel=0.5)
    assert estimate == pytest.approx(np.mean(kept), abs=0.1)
    assert lacking.ratio("c", "a").n_runs == 3


def test_arms_without_a_common_run_cannot_be_compared():
    with pytest.raises(ValueError, match="in common"):
        compare_arms({"a": {(0, 0): 1.0}, "b": {(1, 0): 1.0}})
    two_islands = {"a": runs([[1.0], [1.0]]), "b": runs([[1.0], [1.0]]), "c": {(5, 0): 1.0}, "d": {(5, 0): 2.0}}
    with pytest.raises(ValueError, match="in common"):
        compare_arms(two_islands)


def test_degrees_of_freedom_are_those_of_the_part_that_rules():
    """Weights 1/4 and 3/4 of 2 and 6 degrees of freedom: 1/d = 1/8 + 1/8; a part without spread has no say."""
    assert joint_degrees_of_freedom([(1.0, 2.0), (3.0, 6.0)]) == pytest.approx(4.0)
    assert joint_degrees_of_freedom([(1.0, 2.0), (0.0, 6.0)]) == pytest.approx(2.0)
    assert joint_degrees_of_freedom([(1.0, 0.0), (1.0, 6.0)]) == 0.0

"""The prediction interval and the paired test against known distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mfbench.benchmarks.regression.statistics import pooled, shift


def by_seed(values: object, first: int = 0) -> dict[int, float]:
    return {first + k: float(v) for k, v in enumerate(np.asarray(values))}


def test_p_is_that_of_the_prediction_interval_of_a_mean() -> None:
    old, new = [0.1, 0.3, -0.2, 0.4], [0.9, 0.5]
    moved = shift(by_seed(old), by_seed(new, first=100))
    expected = (np.mean(new) - np.mean(old)) / (np.std(old, ddof=1) * math.sqrt(1 / 4 + 1 / 2))
    assert not moved.paired
    assert moved.p_up == pytest.approx(stats.t.sf(expected, 3))
    assert moved.p_down == pytest.approx(stats.t.cdf(expected, 3))
    assert moved.change == pytest.approx(0.55)


def test_paired_p_is_that_of_student_and_shares_the_level() -> None:
    old = {0: 0.0, 1: 2.0, 2: -1.5, 3: 4.0}
    differences = [0.1, 0.12, 0.07, 0.11]
    moved = shift(old, {seed: value + differences[seed] for seed, value in old.items()})
    assert moved.paired
    assert moved.p_up == pytest.approx(2 * stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)
    # With these scattered seeds the same change is invisible without pairs.
    assert shift(old, {9 + seed: value + differences[seed] for seed, value in old.items()}).p_up > 0.4


def test_one_wrecked_seed_is_seen_by_the_unpaired_half() -> None:
    old = by_seed(np.linspace(-0.05, 0.05, 8))
    new = dict(old)
    new[3] += 4.0
    differences = [new[seed] - old[seed] for seed in old]
    assert stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue > 0.1
    assert shift(old, new).p_up < 1e-3


def test_identical_values_have_not_moved() -> None:
    old = by_seed([0.3, 0.1, 0.2])
    moved = shift(old, dict(old))
    assert moved.identical
    assert moved.change == 0.0
    assert min(moved.p_up, moved.p_down) == 1.0
    assert moved.detectable(0.01) == 0.0


def test_values_without_scatter() -> None:
    old = by_seed([2.0, 2.0, 2.0])
    assert shift(old, {7: 2.0}).p_up == 0.5
    assert shift(old, {7: 2.1}).p_up == 0.0
    assert shift(old, {7: 2.1}, least_spread=1.0).p_up > 0.4


def test_a_change_of_the_detectable_size_is_detected_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    level, trials, seen, alarms = 0.05, 4000, 0, 0
    for _ in range(trials):
        old, new = by_seed(rng.normal(size=12)), by_seed(rng.normal(size=12), first=50)
        alarms += shift(old, new).p_up < level
        size = math.sqrt(2 / 12) * (stats.t.isf(level, 11) + stats.t.ppf(0.8, 11))  # with the true spread, 1
        seen += shift(old, {seed: value + size for seed, value in new.items()}).p_up < level
    assert alarms / trials == pytest.approx(level, abs=3 * math.sqrt(level / trials))
    assert seen / trials == pytest.approx(0.8, abs=0.03)


def test_detectable_is_threshold_plus_power() -> None:
    old = by_seed([1.0, 2.0, 3.0, 4.0])
    moved = shift(old, {9: 2.5})
    error = np.std([1, 2, 3, 4], ddof=1) * math.sqrt(1 / 4 + 1)
    assert moved.detectable(0.01) == pytest.approx(stats.t.isf(0.01, 3) * error)
    assert moved.detectable(0.01, 0.8) == pytest.approx((stats.t.isf(0.01, 3) + stats.t.ppf(0.8, 3)) * error)
    # The smallest change that is detected at all is the threshold, to rounding.
    edge = moved.detectable(0.01)
    assert shift(old, {9: 2.5 + edge * 1.001}).p_up < 0.01 < shift(old, {9: 2.5 + edge * 0.999}).p_up


def test_pooled_averages_the_seeds_that_all_have() -> None:
    assert pooled([{0: 1.0, 1: 5.0, 2: 0.0}, {1: 7.0, 0: 3.0}]) == {0: 2.0, 1: 6.0}
    assert pooled([]) == {}
    assert pooled([{0: 1.0}, {1: 1.0}]) == {}


@pytest.mark.parametrize(
    ("old", "new"), [([1.0, 2.0], [1.0]), ([1.0, 2.0, 3.0], []), ([1.0, 2.0, math.nan], [1.0]), ([1, 2, 3], [math.inf])]
)
def test_too_few_or_broken_values_are_refused(old: list[float], new: list[float]) -> None:
    with pytest.raises(ValueError, match="expected at least 3 finite"):
        shift(by_seed(old), by_seed(new))

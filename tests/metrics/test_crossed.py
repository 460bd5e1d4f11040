"""Numbers made of several log errors, over draws and groups of test structures: by hand, and by simulated coverage.

The simulated log errors scatter with the draw, the group of test structures and both, some of it common to both arms,
and with slopes of their own. Seeds are fixed, so each figure is the same every time.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mfbench.mfcore.metrics.crossed import crossed, lacking
from mfbench.mfcore.metrics.economics import crossing, crossing_interval
from mfbench.mfcore.metrics.learning_curve import data_efficiency, fit_power_law, joint
from mfbench.mfcore.metrics.structures import structure_errors

SIZES = (25, 100, 400)
MIXTURES = {"draws": (0.08, 0.02), "groups": (0.02, 0.15), "both": (0.05, 0.08)}
"""Scatter of an arm's log errors with the draw, and with the group of test structures."""


def test_without_groups_the_interval_is_students() -> None:
    values = np.array([[1.0, 2.0, 4.0, 5.0], [0.5, 0.0, 1.0, 0.5]])
    low, high = crossed(values).interval(np.array([1.0, -1.0]))
    expected = stats.ttest_1samp(values[0] - values[1], 0.0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_variances_of_draws_and_groups_are_added_by_hand() -> None:
    """Draws −1, 0, 1 have a variance of 1/3 of their mean, groups −3, 0, 3 one of 3; nothing varies with both."""
    groups = np.array([-3.0, 0.0, 3.0])
    found = crossed(np.array([[-1.0, 0.0, 1.0]]), np.tile(groups, (1, 3, 1)), 2.0)
    error, freedom = found.spread(np.ones(1))
    assert error == pytest.approx(math.sqrt(1 / 3 + 3.0))
    assert freedom == pytest.approx(2.0)
    assert (found.n_draws, found.n_groups) == (3, 3)


def test_what_varies_with_both_counts_once_and_no_variance_falls_below_either() -> None:
    generator = np.random.default_rng(0)
    table = generator.normal(size=(1, 40, 60))  # of draw and group at once, nothing else
    mean = table.mean(axis=2)
    found = crossed(mean, table - mean[:, :, None], 59.0)
    error, _ = found.spread(np.ones(1))
    assert error == pytest.approx(1.0 / math.sqrt(40 * 60), rel=0.2)
    assert error >= math.sqrt(float(np.square(found.by_draw).sum())) * (1.0 - 1e-12)


def test_samples_have_the_spread_of_the_estimates() -> None:
    generator = np.random.default_rng(1)
    values, groups = generator.normal(size=(2, 30)), generator.normal(size=(2, 30, 40))
    found = crossed(values, groups - groups.mean(axis=2, keepdims=True), 39.0)
    samples = found.samples(20_000)
    weights = np.array([1.0, -1.0])
    low, high = np.quantile(samples @ weights, [0.025, 0.975])
    assert (low, high) == pytest.approx(found.interval(weights), abs=0.03)
    with pytest.raises(ValueError, match="two draws"):
        crossed(values[:, :1]).samples()


def test_too_little_is_said() -> None:
    assert lacking(3, 3) == ""
    assert lacking(2, 9).startswith("2 draws of the HF set, and at least 3")
    assert lacking(1, 9).startswith("1 draw of the HF set")
    assert lacking(6, 0) == "errors by group of test structures are not stored"
    assert lacking(6, 2).startswith("2 groups of test structures, and at least 3")
    assert lacking(6, 9, same_frames=True) == "the draws are nearly the same HF frames"


def test_crossings_of_lines_by_hand() -> None:
    """10 + 2 x meets 50 + x at 40; the second is lower from the start, never, or one of them is not to be had."""
    base, slope = np.array([10.0, 10.0, 10.0, np.inf, 1.0, np.inf]), np.array([2.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    other, rise = np.array([50.0, 5.0, 50.0, 5.0, np.inf, np.inf]), np.array([1.0, 1.0, 2.0, 2.0, 0.0, 0.0])
    found = crossing((base, slope), (other, rise))
    assert np.array_equal(found, [40.0, 0.0, np.inf, 0.0, np.inf, np.nan], equal_nan=True)
    assert crossing_interval(np.arange(41.0)) == (1.0, 39.0)
    assert crossing_interval(np.array([1.0, np.nan, 2.0])) == (0.0, math.inf)


def test_groups_widen_label_savings_as_their_own_spread_says() -> None:
    """The curves of all draws are the same, and the reference's groups scatter: log f = 2 gap, and so is its reach."""
    shifts = np.array([-0.1, 0.0, 0.1])
    reference = {n: {(d, 0): 100.0 * n**-0.5 for d in range(3)} for n in SIZES}
    arm = {n: {(d, 0): 50.0 * n**-0.5 for d in range(3)} for n in SIZES}
    structures = tuple(
        {n: structure_errors({run: error * (1.0 + by * shifts) for run, error in runs.items()}, [1, 1, 1])}
        for curve, by in ((reference, 1.0), (arm, 0.0))
        for n, runs in curve.items()
    )
    first, second = ({k: v for part in parts for k, v in part.items()} for parts in (structures[:3], structures[3:]))
    found = data_efficiency(reference, arm, 50, structures=(first, second))
    reach = 2 * stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert found.n_groups == 3
    assert found.interval.estimate == pytest.approx(4.0)
    assert math.log(found.interval.low) == pytest.approx(math.log(4.0) - reach)
    lacking_one = first | {25: structure_errors({(0, 0): [1.0, 1.0, 1.0]}, [1, 1, 1])}
    with pytest.raises(ValueError, match="errors by group"):
        data_efficiency(reference, arm, 50, structures=(lacking_one, second))


def simulated(generator, levels, slopes, n_draws, n_groups, scatter):
    """Curves of arms, and the deviations of their groups; what is common to the arms is as large as their own."""
    by_draw, by_group = scatter
    x = np.log(np.array(SIZES) / 100.0)

    def effects(size, n):
        return size * (generator.normal(size=(1, n)) + generator.normal(size=(len(levels), n)))

    draws, tilts = effects(by_draw, n_draws), effects(0.3 * by_draw, n_draws)
    groups, bends = effects(by_group, n_groups), effects(0.2 * by_group, n_groups)
    found = []
    for a, (level, slope) in enumerate(zip(levels, slopes, strict=True)):
        log = (level - slope * x)[:, None, None] + (draws[a] + tilts[a] * x[:, None])[:, :, None]
        log = log + (groups[a] + bends[a] * x[:, None])[:, None, :]
        errors = np.exp(log + 0.03 * generator.normal(size=log.shape))
        curve, parts = {}, {}
        for n, table in zip(SIZES, errors, strict=True):
            curve[n] = {(d, 0): float(row.mean()) for d, row in enumerate(table)}
            parts[n] = structure_errors({(d, 0): row for d, row in enumerate(table)}, np.ones(n_groups))
        found.append((curve, parts))
    return found


def coverage(n, n_draws, n_groups, scatter, seed=0):
    """Shares of intervals that hold the truth: a factor of 4, the exponent 0.5, the error at 800, the break-even price.

    The error is a mean over groups, whose expectation is above that of their logarithms by half a variance. Single
    fidelity needs 400 HF labels, the other arm 100 and 600 CPU-s of LF labels: they cost the same at a price of 2.
    """
    generator = np.random.default_rng(seed)
    factors = exponents = errors = points = 0
    excess = scatter[1] ** 2 * (1.0 + 0.04 * math.log(8.0) ** 2) + 0.5 * 0.03**2
    truth = 100.0 * 800.0**-0.5 * 10.0 * math.exp(excess)
    for index in range(n):
        (reference, of_reference), (arm, of_arm) = simulated(
            generator, [math.log(100.0), math.log(50.0)], [0.5, 0.5], n_draws, n_groups, scatter
        )
        factors += 4.0 in data_efficiency(reference, arm, 50, structures=(of_reference, of_arm)).interval
        laws = [fit_power_law(reference, structures=of_reference), fit_power_law(arm, structures=of_arm)]
        exponents += 0.5 in laws[0].exponent
        errors += truth in laws[0].error(800)
        a, b, c, d = joint(laws).samples(1000, seed=index).T
        with np.errstate(over="ignore", divide="ignore"):
            needed = np.where(d < 0.0, np.exp((a + b * math.log(400.0) - c) / d), np.inf)
        zero = np.zeros(len(a))
        low, high = crossing_interval(crossing((zero, zero + 400.0), (zero + 600.0, needed)))
        points += low <= 2.0 <= high
    return factors / n, exponents / n, errors / n, points / n


def test_coverage_in_short() -> None:
    for share in coverage(80, 5, 6, MIXTURES["both"]):
        assert share >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("n_draws", "n_groups"), [(3, 3), (6, 3), (6, 10), (5, 30)])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_coverage(n_draws: int, n_groups: int, mixture: str) -> None:
    for share in coverage(1000, n_draws, n_groups, MIXTURES[mixture]):
        assert 0.92 <= share <= 0.995

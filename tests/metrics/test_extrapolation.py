"""Extrapolated learning curves: against analytic power laws, by simulation, and where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mfbench.mfcore.metrics.extrapolation import extrapolate
from mfbench.mfcore.metrics.structures import structure_errors

SIZES = (25, 50, 100, 200)


def curve(amplitudes, exponents, sizes=SIZES, noise: float = 0.0, seed: int = 0):
    """Errors a · n^-b of each draw, with multiplicative noise."""
    rng = np.random.default_rng(seed)
    return {
        n: {
            (draw, 0): a * n**-b * float(np.exp(noise * rng.normal()))
            for draw, (a, b) in enumerate(zip(amplitudes, exponents, strict=True))
        }
        for n in sizes
    }


def test_a_power_law_is_met_exactly() -> None:
    found = extrapolate(curve([300.0, 300.0], [0.5, 0.5]), 400)
    assert found.reason == ""
    assert found.estimate == pytest.approx(15.0, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((15.0, 15.0), rel=1e-9)


def test_draws_with_laws_of_their_own_give_the_geometric_mean_and_an_interval() -> None:
    found = extrapolate(curve([300.0, 200.0, 250.0], [0.5, 0.45, 0.48]), 400)
    expected = [a * 400.0**-b for a, b in ((300.0, 0.5), (200.0, 0.45), (250.0, 0.48))]
    assert found.estimate == pytest.approx(float(np.exp(np.mean(np.log(expected)))), rel=1e-9)
    assert found.low < min(expected) < max(expected) < found.high


def test_one_draw_has_an_estimate_and_no_interval() -> None:
    found = extrapolate(curve([300.0], [0.5]), 400)
    assert found.reason == ""
    assert found.estimate == pytest.approx(15.0)
    assert np.isnan([found.low, found.high]).all()


def test_groups_of_test_structures_widen_the_interval() -> None:
    """Draws agree; groups are 0.9, 1 and 1.1 of the mean: a standard error of 0.1 / √3 with two degrees of freedom."""
    errors = curve([300.0] * 3, [0.5] * 3)
    structures = {
        n: structure_errors({run: error * np.array([0.9, 1.0, 1.1]) for run, error in runs.items()}, [1, 1, 1])
        for n, runs in errors.items()
    }
    found = extrapolate(errors, 400, structures=structures)
    reach = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((15.0 * np.exp(-reach), 15.0 * np.exp(reach)))


def test_the_interval_holds_the_true_error_as_often_as_it_says() -> None:
    rng, held, told = np.random.default_rng(1), 0, 0
    for trial in range(400):
        amplitudes, exponents = 300.0 * np.exp(0.03 * rng.normal(size=4)), 0.6 + 0.01 * rng.normal(size=4)
        found = extrapolate(curve(amplitudes, exponents, noise=0.03, seed=trial), 400)
        if found.reason == "":
            told += 1
            held += found.low <= 300.0 * 400.0**-0.6 <= found.high
    assert told > 350
    assert 0.91 <= held / told <= 0.985


def test_fewer_than_three_sizes_tell_nothing() -> None:
    found = extrapolate(curve([300.0, 300.0], [0.5, 0.5], sizes=(25, 50)), 100)
    assert found.reason.startswith("finished runs have 2 numbers of HF frames")
    assert np.isnan(found.estimate)
    gap = curve([300.0, 300.0], [0.5, 0.5], sizes=(25, 50, 100)) | {50: {}}
    assert "2 numbers" in extrapolate(gap, 200).reason


def test_errors_that_do_not_fall_tell_nothing() -> None:
    flat = extrapolate(curve([300.0] * 3, [0.01, -0.01, 0.0], noise=0.02), 400)
    assert "not certain that the error falls" in flat.reason
    assert flat.law is not None


def test_a_curve_that_levels_off_is_no_power_law() -> None:
    level = {n: {(draw, 0): 10.0 + 500.0 * (1 + 0.01 * draw) / n for draw in range(4)} for n in SIZES}
    found = extrapolate(level, 400)
    assert "bends" in found.reason


def test_points_far_off_the_law_tell_nothing() -> None:
    jump = {25: {(0, 0): 100.0}, 50: {(0, 0): 95.0}, 100: {(0, 0): 20.0}, 200: {(0, 0): 19.0}}
    assert "% off the law" in extrapolate(jump, 400).reason


def test_no_common_draw_is_said() -> None:
    apart = {n: {(draw, 0): 10.0} for draw, n in enumerate(SIZES)}
    assert "no draw has a finished run at every set size" in extrapolate(apart, 400).reason

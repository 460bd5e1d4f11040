"""Power laws that are recovered, and data efficiency with answers known by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from mfbench.mfcore.metrics.learning_curve import data_efficiency, fit_power_law

SIZES = (25, 100, 400)


def curve(amplitude, exponent, draws=3, seeds=1, factor=lambda draw: 1.0, sizes=SIZES):
    return {
        n: {(d, s): amplitude * n**-exponent * factor(d) for d in range(draws) for s in range(seeds)} for n in sizes
    }


def test_a_power_law_is_recovered():
    law = fit_power_law(curve(300.0, 0.45, seeds=2))
    assert law.exponent.estimate == pytest.approx(0.45)
    assert law.amplitude.estimate == pytest.approx(300.0)
    assert law.error(50).estimate == pytest.approx(300.0 * 50**-0.45)
    assert (law.exponent.n_units, law.exponent.n_runs, law.sizes) == (3, 18, SIZES)
    assert law.exponent.half_width == pytest.approx(0.0, abs=1e-9)


def test_intervals_are_over_draws():
    """Draws scale the errors by e^-x, 1, e^x: exponents agree, and log amplitudes scatter with deviation x."""
    law = fit_power_law(curve(300.0, 0.5, factor=lambda d: math.exp(0.1 * (d - 1))))
    assert law.exponent.half_width == pytest.approx(0.0, abs=1e-9)
    reach = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert (law.amplitude.low, law.amplitude.high) == pytest.approx((300 * math.exp(-reach), 300 * math.exp(reach)))
    assert law.error(100).low == pytest.approx(30 * math.exp(-reach))


def test_one_draw_falls_back_on_the_scatter_about_the_line():
    points = dict(zip(SIZES, (90.0, 40.0, 25.0), strict=True))
    law = fit_power_law({n: {(0, 0): error} for n, error in points.items()})
    expected = stats.linregress(np.log(list(points)), np.log(list(points.values())))
    assert law.exponent.estimate == pytest.approx(-expected.slope)
    assert law.exponent.half_width == pytest.approx(stats.t.ppf(0.975, 1) * expected.stderr)
    lift = stats.t.ppf(0.975, 1) * expected.intercept_stderr
    assert math.log(law.amplitude.high) == pytest.approx(expected.intercept + lift)


def test_two_points_of_one_draw_have_no_interval():
    law = fit_power_law({25: {(0, 0): 10.0}, 100: {(0, 0): 5.0}})
    assert law.exponent.estimate == pytest.approx(0.5)
    assert np.isnan(law.exponent.low)


def test_only_draws_with_every_size_enter():
    errors = curve(300.0, 0.5)
    del errors[100][1, 0]
    errors[25][1, 0] = 1e6
    law = fit_power_law(errors)
    assert law.exponent.estimate == pytest.approx(0.5)
    assert law.exponent.n_units == 2


def test_curves_that_cannot_be_fitted_are_refused():
    with pytest.raises(ValueError, match="two positive set sizes"):
        fit_power_law({25: {(0, 0): 1.0}})
    with pytest.raises(ValueError, match="no draw"):
        fit_power_law({25: {(0, 0): 1.0}, 100: {(1, 0): 1.0}})
    with pytest.raises(ValueError, match="positive and finite"):
        fit_power_law({25: {(0, 0): 0.0}, 100: {(0, 0): 1.0}})


def test_data_efficiency_of_parallel_curves():
    """Errors half as large at exponent one half: four times the labels."""
    result = data_efficiency(curve(100.0, 0.5), curve(50.0, 0.5), 50)
    assert result.status == "reached"
    assert result.interval.estimate == pytest.approx(4.0)
    assert (result.interval.low, result.interval.high) == pytest.approx((4.0, 4.0))
    assert result.error == pytest.approx(50.0 * 50**-0.5)


def test_data_efficiency_interval_by_hand():
    """The reference's draws scale by e^-x, 1, e^x at slope -1/2: log f = 2 gap, and so is its reach."""
    reference = curve(100.0, 0.5, factor=lambda d: math.exp(0.05 * (d - 1)))
    result = data_efficiency(reference, curve(50.0, 0.5), 50)
    reach = 2 * stats.t.ppf(0.975, 2) * 0.05 / math.sqrt(3)
    assert result.interval.low == pytest.approx(4.0 * math.exp(-reach))
    assert result.interval.high == pytest.approx(4.0 * math.exp(reach))


def test_data_efficiency_is_not_reached_beyond_the_measured_sizes():
    """At n = 200 the factor would be 4, but the reference was measured up to 400 labels."""
    result = data_efficiency(curve(100.0, 0.5), curve(50.0, 0.5), 200)
    assert result.status == "not reached"
    assert (result.interval.estimate, result.interval.low) == (math.inf, pytest.approx(2.0))


def test_a_bound_beyond_the_measured_sizes_is_open():
    reference = curve(100.0, 0.5, factor=lambda d: math.exp(0.05 * (d - 1)))
    result = data_efficiency(reference, curve(55.0, 0.5), 100)  # factor 3.3 of at most 4
    assert result.status == "reached"
    assert result.interval.low > 1.0
    assert result.interval.high == math.inf


def test_an_uncertain_slope_leaves_the_factor_open():
    reference = {n: {(d, 0): 100 * n ** -(0.5 + 0.4 * (d - 1)) for d in range(3)} for n in SIZES}
    result = data_efficiency(reference, curve(60.0, 0.5), 100)
    assert result.status == "reached"
    assert (result.interval.low, result.interval.high) == (0.0, math.inf)


def test_an_arm_worse_than_the_reference_at_its_smallest_size():
    result = data_efficiency(curve(10.0, 0.5), curve(50.0, 0.5), 100)
    assert result.status == "below"
    assert result.interval.high == pytest.approx(0.25)


def test_data_efficiency_is_asked_for_a_measured_size():
    with pytest.raises(ValueError, match="not within"):
        data_efficiency(curve(100.0, 0.5), curve(50.0, 0.5), 1000)

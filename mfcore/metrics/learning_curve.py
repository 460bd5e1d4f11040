"""Learning curves: power laws fitted to error against the number of HF labels, and data efficiency.

Each draw's sets are nested, so the errors of one draw at several sizes are correlated. Every draw therefore gets
its own line in log-log coordinates, and intervals are Student's over the draws' lines: they hold whatever the
correlation within a draw. With a single draw the scatter of the points about the line has to do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mfbench.mfcore.metrics.intervals import Array, Interval, Runs, Unit, t_interval, t_quantile

Curve = Mapping[int, Runs]
"""Error of each run by HF set size, then by (draw, seed)."""


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = amplitude · n^(-exponent).

    Attributes
    ----------
    exponent, amplitude
        With intervals; amplitude is the error at n = 1, in the unit of the errors.
    sizes
        Set sizes that were measured, ascending; the law says nothing beyond them.
    intercepts, slopes
        Of the log-log line of each unit (draw), shape (n_units,).
    """

    exponent: Interval
    amplitude: Interval
    sizes: tuple[int, ...]
    intercepts: Array
    slopes: Array

    def error(self, n: float) -> Interval:
        """Fitted error at a set size, with the interval of the fit (not of a single new run) where draws repeat."""
        logs = self.intercepts + self.slopes * math.log(n)
        return _exp_interval(_over_units(logs, self.exponent))


@dataclass(frozen=True)
class DataEfficiency:
    """How many times more HF labels the reference needs for the error that an arm has with n.

    Attributes
    ----------
    n
        HF labels of the arm.
    error
        The arm's fitted error at `n`: the error that both are to have.
    status
        "reached"; or "not reached": the reference does not get there within its measured sizes (`interval`
        then holds the bound: `low` is the largest factor that was tried); or "below": the reference has a
        smaller error at its smallest size (`high` is the smallest factor tried).
    interval
        The factor. A bound beyond the measured sizes is open: 0 or infinity. Bounds are NaN without repeats.
    """

    n: int
    error: float
    status: Literal["reached", "not reached", "below"]
    interval: Interval


def fit_power_law(curve: Curve, level: float = 0.95) -> PowerLaw:
    """Fit a power law by least squares on log(error) against log(n), draw by draw.

    Only draws that have a finished run at every size enter: nested sets are compared with themselves.

    Parameters
    ----------
    curve
        Errors (positive) by HF set size and (draw, seed).
    level
        Confidence level.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, no draw has them all, or an error is not positive and finite.
    """
    sizes = sorted(curve)
    if len(sizes) < 2 or sizes[0] < 1:
        raise ValueError("learning curve: expected at least two positive set sizes.")
    draws = sorted(set.intersection(*({draw for draw, _ in curve[n]} for n in sizes)))
    if not draws:
        raise ValueError("learning curve: no draw has a finished run at every set size.")
    x = np.log(np.asarray(sizes, dtype=np.float64))
    y = np.array([[_mean_log(curve[n], draw) for n in sizes] for draw in draws])
    centred = x - x.mean()
    slopes = y @ centred / float(centred @ centred)
    intercepts = y.mean(axis=1) - slopes * x.mean()
    n_runs = sum(draw in draws for n in sizes for draw, _ in curve[n])
    if len(draws) > 1:
        exponents = t_interval(-slopes, level)
        amplitudes = t_interval(intercepts, level)
    else:
        exponents, amplitudes = _residual_intervals(x, y[0], float(slopes[0]), float(intercepts[0]), level)
    over: Unit = "draws" if len(draws) > 1 else "none"
    exponent = Interval(float(-slopes.mean()), *exponents, level, n_runs, len(draws), over)
    amplitude = Interval(float(intercepts.mean()), *amplitudes, level, n_runs, len(draws), over)
    return PowerLaw(exponent, _exp_interval(amplitude), tuple(sizes), intercepts, slopes)


def data_efficiency(reference: Curve, arm: Curve, n: int, level: float = 0.95) -> DataEfficiency:
    """Compare with a reference arm: N_reference(error) / n for the error that `arm` has with `n` HF labels.

    Both arms are fitted by power laws over the draws that both have. The interval is the set of factors f for
    which Student's paired test over draws does not reject error_reference(f n) = error_arm(n) (Fieller's method),
    so that it has its level however uncertain the reference's slope.

    Parameters
    ----------
    reference, arm
        Errors by HF set size and (draw, seed).
    n
        A set size within those of `arm`.
    level
        Confidence level.

    Raises
    ------
    ValueError
        If `n` is not within the arm's sizes, the arms have no draw in common, or a curve cannot be fitted.
    """
    if not arm or not min(arm) <= n <= max(arm):
        raise ValueError(f"data efficiency: n = {n} is not within the arm's set sizes.")
    draws = {draw for runs in reference.values() for draw, _ in runs} & {
        draw for runs in arm.values() for draw, _ in runs
    }
    first, second = (
        fit_power_law({size: {k: v for k, v in runs.items() if k[0] in draws} for size, runs in curve.items()}, level)
        for curve in (reference, arm)
    )
    if len(first.slopes) != len(second.slopes):
        raise ValueError("data efficiency: a draw is complete for one arm only; leave it out of both.")
    # log error_reference(f n) - log error_arm(n) = gap + slope · log f, draw by draw
    gap = first.intercepts + first.slopes * math.log(n) - second.intercepts - second.slopes * math.log(n)
    slope = first.slopes
    low_edge, high_edge = math.log(first.sizes[0] / n), math.log(first.sizes[-1] / n)
    target = float(np.exp((second.intercepts + second.slopes * math.log(n)).mean()))
    n_runs = first.exponent.n_runs + second.exponent.n_runs
    units = len(gap)
    over = first.exponent.over

    def result(
        status: Literal["reached", "not reached", "below"], factor: float, low: float, high: float
    ) -> DataEfficiency:
        return DataEfficiency(n, target, status, Interval(factor, low, high, level, n_runs, units, over))

    end_gaps = gap.mean() + slope.mean() * low_edge, gap.mean() + slope.mean() * high_edge
    if end_gaps[1] > 0.0:
        return result("not reached", math.inf, math.exp(high_edge), math.inf)
    if end_gaps[0] < 0.0 or slope.mean() >= 0.0:
        return result("below", 0.0, 0.0, math.exp(low_edge))
    estimate = -float(gap.mean()) / float(slope.mean())
    if units < 2:
        return result("reached", math.exp(estimate), float("nan"), float("nan"))
    low, high = _fieller(gap, slope, level)
    return result(
        "reached",
        math.exp(estimate),
        math.exp(low) if low > low_edge else 0.0,
        math.exp(high) if high < high_edge else math.inf,
    )


def _fieller(gap: Array, slope: Array, level: float) -> tuple[float, float]:
    """Range of x around the root where the mean of gap + slope·x does not differ from zero; may be infinite."""
    units = len(gap)
    squared = t_quantile(level, units - 1) ** 2 / units
    covariance = np.atleast_2d(np.cov(np.stack([gap, slope])))
    g, s = float(gap.mean()), float(slope.mean())
    a = s * s - squared * float(covariance[1, 1])
    b = 2.0 * (g * s - squared * float(covariance[0, 1]))
    c = g * g - squared * float(covariance[0, 0])
    discriminant = b * b - 4.0 * a * c
    if a <= 0.0:
        # The slope itself is not significant: every factor on at least one side cannot be rejected.
        return -math.inf, math.inf
    root = math.sqrt(max(discriminant, 0.0))
    return (-b - root) / (2.0 * a), (-b + root) / (2.0 * a)


def _mean_log(runs: Runs, draw: int) -> float:
    values = [value for (d, _), value in runs.items() if d == draw]
    if not all(math.isfinite(value) and value > 0.0 for value in values):
        raise ValueError(f"learning curve, draw {draw}: errors must be positive and finite; count others as failed.")
    return float(np.log(values).mean())


def _over_units(values: Array, like: Interval) -> Interval:
    low, high = t_interval(values, like.level)
    return Interval(float(values.mean()), low, high, like.level, like.n_runs, like.n_units, like.over)


def _exp_interval(logs: Interval) -> Interval:
    with np.errstate(over="ignore"):
        estimate, low, high = (float(np.exp(x)) for x in (logs.estimate, logs.low, logs.high))
    return Interval(estimate, low, high, logs.level, logs.n_runs, logs.n_units, logs.over)


def _residual_intervals(
    x: Array, y: Array, slope: float, intercept: float, level: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Intervals of the exponent and the log amplitude from the scatter about one line; NaN with two points."""
    if len(x) < 3:
        nan = float("nan")
        return (nan, nan), (nan, nan)
    residual = y - intercept - slope * x
    variance = float(residual @ residual) / (len(x) - 2)
    spread = float(np.square(x - x.mean()).sum())
    quantile = t_quantile(level, len(x) - 2)
    reach = quantile * math.sqrt(variance / spread)
    lift = quantile * math.sqrt(variance * (1.0 / len(x) + float(x.mean()) ** 2 / spread))
    return (-slope - reach, -slope + reach), (intercept - lift, intercept + lift)

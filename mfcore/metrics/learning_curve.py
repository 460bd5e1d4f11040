"""Learning curves: power laws fitted to error against the number of HF labels, and data efficiency.

Each draw's sets are nested, so the errors of one draw at several sizes are correlated. Every draw therefore gets
its own line in log-log coordinates, and intervals are Student's over the draws' lines: they hold whatever the
correlation within a draw. Where errors are known by group of test structures, each group has its part in these lines,
and intervals are over draws and groups (see `crossed`). With a single draw the scatter of the points about the line has
to do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from mfbench.mfcore.metrics.crossed import Crossed, crossed
from mfbench.mfcore.metrics.intervals import Array, Interval, Runs, Unit, t_quantile
from mfbench.mfcore.metrics.structures import StructureErrors

Curve = Mapping[int, Runs]
"""Error of each run by HF set size, then by (draw, seed)."""

Structures = Mapping[int, StructureErrors]
"""Deviations of the groups of test structures in these runs, by HF set size; the groups are the same at all sizes."""


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
    draws
        Those units.
    deviations
        Part of each group of test structures in intercept and slope, shape (2, n_units, n_groups), with their degrees
        of freedom; None where they are not known.
    """

    exponent: Interval
    amplitude: Interval
    sizes: tuple[int, ...]
    intercepts: Array
    slopes: Array
    draws: tuple[int, ...] = ()
    deviations: tuple[Array, float] | None = None

    def error(self, n: float) -> Interval:
        """Fitted error at a set size, with the interval of the fit (not of a single new run) where draws repeat."""
        found = joint([self])
        at = np.array([1.0, math.log(n)])
        like = self.exponent
        low, high = found.interval(at, like.level)
        logs = Interval(float(at @ found.estimate), low, high, like.level, like.n_runs, like.n_units, like.over)
        return _exp_interval(logs)


def joint(laws: Sequence[PowerLaw]) -> Crossed:
    """Intercept and slope of each of some laws of the same draws, with their spread over draws and groups.

    Groups count where all laws know them.

    Raises
    ------
    ValueError
        If the laws are of different draws, or of different groups.
    """
    if any(law.draws != laws[0].draws for law in laws):
        raise ValueError("learning curves: a draw is complete for one arm only; leave it out of both.")
    values = np.stack([line for law in laws for line in (law.intercepts, law.slopes)])
    known = [law.deviations for law in laws if law.deviations is not None]
    if len(known) < len(laws):
        return crossed(values)
    if any(groups.shape != known[0][0].shape for groups, _ in known):
        raise ValueError("learning curves: expected the same groups of test structures in each.")
    return crossed(values, np.concatenate([groups for groups, _ in known]), min(freedom for _, freedom in known))


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
    n_groups
        Groups of test structures that the interval is over, beside draws; 0 if it is over draws alone.
    """

    n: int
    error: float
    status: Literal["reached", "not reached", "below"]
    interval: Interval
    n_groups: int = 0


def fit_power_law(curve: Curve, level: float = 0.95, structures: Structures | None = None) -> PowerLaw:
    """Fit a power law by least squares on log(error) against log(n), draw by draw.

    Only draws that have a finished run at every size enter: nested sets are compared with themselves.

    Parameters
    ----------
    curve
        Errors (positive) by HF set size and (draw, seed).
    level
        Confidence level.
    structures
        Of these runs; None where errors by group are not known.

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
    deviations = None
    if structures is not None:
        parts = _deviations(curve, structures, sizes, draws)  # (sizes, draws, groups)
        rise = centred / float(centred @ centred)
        groups = np.stack([np.tensordot(1.0 / len(x) - x.mean() * rise, parts, 1), np.tensordot(rise, parts, 1)])
        deviations = groups, min(structures[n].degrees_of_freedom for n in sizes)
    if len(draws) > 1:
        found = crossed(np.stack([intercepts, -slopes]), *_signed(deviations))
        amplitudes, exponents = (found.interval(np.array(w), level) for w in ((1.0, 0.0), (0.0, 1.0)))
    else:
        exponents, amplitudes = _residual_intervals(x, y[0], float(slopes[0]), float(intercepts[0]), level)
    over: Unit = "draws" if len(draws) > 1 else "none"
    exponent = Interval(float(-slopes.mean()), *exponents, level, n_runs, len(draws), over)
    amplitude = Interval(float(intercepts.mean()), *amplitudes, level, n_runs, len(draws), over)
    return PowerLaw(exponent, _exp_interval(amplitude), tuple(sizes), intercepts, slopes, tuple(draws), deviations)


def of_draws(curve: Curve, draws: Collection[int]) -> dict[int, Runs]:
    """Keep the runs of some draws."""
    return {size: {key: error for key, error in runs.items() if key[0] in draws} for size, runs in curve.items()}


def complete_draws(curve: Curve) -> set[int]:
    """Draws that have a finished run at every set size."""
    return set.intersection(*({draw for draw, _ in runs} for runs in curve.values())) if curve else set()


def data_efficiency(
    reference: Curve,
    arm: Curve,
    n: int,
    level: float = 0.95,
    structures: tuple[Structures, Structures] | None = None,
) -> DataEfficiency:
    """Compare with a reference arm: N_reference(error) / n for the error that `arm` has with `n` HF labels.

    Both arms are fitted by power laws over the draws in which both have a finished run at every size. The interval is
    the set of factors f for which Student's paired test does not reject error_reference(f n) = error_arm(n) (E. C.
    Fieller, J. R. Stat. Soc. B 16, 175 (1954)), so that it has its level however uncertain the reference's slope. The
    test is over draws and groups of test structures where `structures` are given, else over draws, for these
    structures.

    Parameters
    ----------
    reference, arm
        Errors by HF set size and (draw, seed).
    n
        A set size within those of `arm`.
    level
        Confidence level.
    structures
        Of the runs of the reference and of the arm.

    Raises
    ------
    ValueError
        If `n` is not within the arm's sizes, the arms have no draw in common, or a curve cannot be fitted.
    """
    if not arm or not min(arm) <= n <= max(arm):
        raise ValueError(f"data efficiency: n = {n} is not within the arm's set sizes.")
    draws = complete_draws(reference) & complete_draws(arm)
    groups = structures or (None, None)
    first, second = (
        fit_power_law(of_draws(curve, draws), level, known)
        for curve, known in zip((reference, arm), groups, strict=True)
    )
    laws = joint([first, second])
    # log error_reference(f n) - log error_arm(n) = gap + slope · log f, draw by draw
    here = math.log(n)
    to_gap, to_slope = np.array([1.0, here, -1.0, -here]), np.array([0.0, 1.0, 0.0, 0.0])
    gap, slope = float(to_gap @ laws.estimate), float(to_slope @ laws.estimate)
    low_edge, high_edge = math.log(first.sizes[0] / n), math.log(first.sizes[-1] / n)
    target = float(np.exp((second.intercepts + second.slopes * math.log(n)).mean()))
    n_runs = first.exponent.n_runs + second.exponent.n_runs
    units = laws.n_draws
    over = first.exponent.over

    def result(
        status: Literal["reached", "not reached", "below"], factor: float, low: float, high: float
    ) -> DataEfficiency:
        return DataEfficiency(n, target, status, Interval(factor, low, high, level, n_runs, units, over), laws.n_groups)

    end_gaps = gap + slope * low_edge, gap + slope * high_edge
    if end_gaps[1] > 0.0:
        return result("not reached", math.inf, math.exp(high_edge), math.inf)
    if end_gaps[0] < 0.0 or slope >= 0.0:
        return result("below", 0.0, 0.0, math.exp(low_edge))
    estimate = -gap / slope
    if units < 2:
        return result("reached", math.exp(estimate), float("nan"), float("nan"))
    low, high = _fieller(laws, to_gap, to_slope, (low_edge, estimate, high_edge), level)
    return result("reached", math.exp(estimate), math.exp(low), math.exp(high))


def _fieller(
    laws: Crossed, to_gap: Array, to_slope: Array, places: tuple[float, float, float], level: float
) -> tuple[float, float]:
    """Range of x around the root where gap + slope·x does not differ from zero; infinite beyond the outer places."""
    low_edge, root, high_edge = places

    def excess(x: float) -> float:
        weights = to_gap + x * to_slope
        error, freedom = laws.spread(weights)
        return abs(float(weights @ laws.estimate)) - t_quantile(level, freedom) * error

    error, freedom = laws.spread(to_slope)
    if freedom <= 0.0:
        return math.nan, math.nan
    if abs(float(to_slope @ laws.estimate)) <= t_quantile(level, freedom) * error:
        # The slope itself is not significant: every factor on at least one side cannot be rejected.
        return -math.inf, math.inf
    if excess(root) >= 0.0:  # rounding, where nothing varies
        return root, root
    low, high = (
        math.inf * side if excess(edge) < 0.0 else float(brentq(excess, min(root, edge), max(root, edge)))
        for edge, side in ((low_edge, -1.0), (high_edge, 1.0))
    )
    return low, high


def _deviations(curve: Curve, structures: Structures, sizes: Sequence[int], draws: Sequence[int]) -> Array:
    """Mean deviation of each group over the seeds of a draw, shape (sizes, draws, groups)."""
    try:
        return np.array(
            [
                [np.mean([structures[n].deviations[run] for run in curve[n] if run[0] == d], axis=0) for d in draws]
                for n in sizes
            ]
        )
    except (KeyError, ValueError):
        raise ValueError("learning curve: expected errors by group, of the same groups, of each run.") from None


def _signed(deviations: tuple[Array, float] | None) -> tuple[Array | None, float]:
    """Deviations of intercept and exponent, the slope with its sign turned round."""
    if deviations is None:
        return None, 0.0
    groups, freedom = deviations
    return groups * np.array([1.0, -1.0])[:, None, None], freedom


def _mean_log(runs: Runs, draw: int) -> float:
    values = [value for (d, _), value in runs.items() if d == draw]
    if not all(math.isfinite(value) and value > 0.0 for value in values):
        raise ValueError(f"learning curve, draw {draw}: errors must be positive and finite; count others as failed.")
    return float(np.log(values).mean())


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

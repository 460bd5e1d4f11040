"""Costs of arms in all, and where the cheapest arm changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mfbench.mfcore.metrics.intervals import Array


@dataclass(frozen=True)
class ArmCost:
    """Labels and time that one arm needs to reach the error that all arms are compared at.

    Attributes
    ----------
    n_low, n_high
        Labels of each kind.
    training
        Cost of training, in the currency of the prices (CPU-s, say).
    prediction
        Cost of one prediction, in the same currency; for an arm that needs LF labels at inference it has the
        price of one in it.
    """

    n_low: float
    n_high: float
    training: float
    prediction: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} = {value}: expected a finite number, at least zero.")

    def total(self, *, low_price: float, high_price: float, n_predictions: float) -> float:
        """Cost of labels, training and predictions together."""
        labels = self.n_low * low_price + self.n_high * high_price
        return labels + self.training + n_predictions * self.prediction


@dataclass(frozen=True)
class Range:
    """A stretch of a price or a count over which an arm is the cheapest.

    Attributes
    ----------
    start, end
        Of the stretch.
    arm
        The cheapest.
    low, high
        Interval of `end`, where it is known: 0 and infinite if that side has no bound.
    """

    start: float
    end: float
    arm: str
    low: float = math.nan
    high: float = math.nan


def cheapest_by_predictions(arms: Mapping[str, ArmCost], *, low_price: float, high_price: float) -> list[Range]:
    """Tell the cheapest arm for each number of predictions, from none to any number.

    The break-even numbers are the ends of the ranges. Of arms that cost the same the one given first stands.

    Parameters
    ----------
    arms
        Costs at equal error, by arm.
    low_price, high_price
        Price of one label.

    Raises
    ------
    ValueError
        If there is no arm or a price is negative or not finite.
    """
    _check_prices(low_price, high_price)
    return _lower_envelope(
        {
            name: (cost.total(low_price=low_price, high_price=high_price, n_predictions=0.0), cost.prediction)
            for name, cost in arms.items()
        }
    )


def cheapest_by_label_price(arms: Mapping[str, ArmCost], *, low_price: float, n_predictions: float) -> list[Range]:
    """Tell the cheapest arm for each price of one HF label; arguments as in `cheapest_by_predictions`."""
    _check_prices(low_price, n_predictions)
    return _lower_envelope(
        {
            name: (cost.total(low_price=low_price, high_price=0.0, n_predictions=n_predictions), cost.n_high)
            for name, cost in arms.items()
        }
    )


def crossing(first: tuple[Array, Array], second: tuple[Array, Array]) -> Array:
    """Give the x from which on the second of two lines intercept + slope·x is the lower one.

    Parameters
    ----------
    first, second
        Intercepts and slopes, each of shape (n,): samples of the two. They may be infinite: an arm that never gets
        there.

    Returns
    -------
    ndarray, shape (n,)
        0 if it is lower from the start, infinite if it is not lower for good; NaN where neither gets there.
    """
    (base, slope), (other, rise) = first, second
    lost, never = ~np.isfinite(base + slope), ~np.isfinite(other + rise)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(slope > rise, np.maximum((other - base) / (slope - rise), 0.0), np.inf)
    return np.where(lost & never, np.nan, np.where(lost, 0.0, np.where(never, np.inf, found)))


def crossing_interval(samples: Array, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of sampled crossings; a sample without one (NaN) counts as beyond either bound."""
    tail = 0.5 * (1.0 - level) * (len(samples) - 1)
    low = np.sort(np.where(np.isnan(samples), 0.0, samples))[math.floor(tail)]
    high = np.sort(np.where(np.isnan(samples), np.inf, samples))[len(samples) - 1 - math.floor(tail)]
    return float(low), float(high)


def _check_prices(*values: float) -> None:
    if not all(math.isfinite(value) and value >= 0.0 for value in values):
        raise ValueError("prices and numbers of predictions: expected finite numbers, at least zero.")


def _lower_envelope(lines: Mapping[str, tuple[float, float]]) -> list[Range]:
    """Follow the lowest of the lines intercept + slope·x from x = 0 on."""
    if not lines:
        raise ValueError("arms: expected at least one.")
    ranges: list[Range] = []
    start = 0.0
    # The flattest of equals stays the lowest for longest.
    current = min(lines, key=lambda name: lines[name])
    while True:
        intercept, slope = lines[current]
        crossings = [
            ((other - intercept) / (slope - rise), rise, name) for name, (other, rise) in lines.items() if rise < slope
        ]
        if not crossings:
            return [*ranges, Range(start, math.inf, current)]
        # Of lines that cross at one point the flattest is the lowest behind it.
        end, _, following = min(crossings, key=lambda crossing: crossing[:2])
        if end > start:
            ranges.append(Range(start, end, current))
        start, current = max(start, end), following

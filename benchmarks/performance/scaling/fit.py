"""Exponents of power laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class PowerLaw(NamedTuple):
    """t = factor · x^exponent, by least squares on logarithms.

    Attributes
    ----------
    exponent, low, high
        With its interval; NaN bounds where two points leave nothing to judge it by.
    factor
        In the units of t.
    n_points
        Points that were fitted.
    """

    exponent: float
    low: float
    high: float
    factor: float
    n_points: int


def power_law(x: Sequence[float], t: Sequence[float], level: float = 0.95) -> PowerLaw:
    """Fit t = factor · x^exponent.

    Parameters
    ----------
    x, t
        At least two points, all positive.
    level
        Of the interval, by Student's t: it covers the scatter about the law, also where that is no power law.

    Raises
    ------
    ValueError
        For fewer than two different x, or numbers that are not positive.
    """
    from scipy import stats

    values, times = np.asarray(x, dtype=float), np.asarray(t, dtype=float)
    if len(np.unique(values)) < 2 or not (values > 0).all() or not (times > 0).all():
        raise ValueError("a power law takes two different points or more, all positive")
    found = stats.linregress(np.log(values), np.log(times))
    half = stats.t.ppf(0.5 + level / 2, len(values) - 2) * found.stderr if len(values) > 2 else np.nan
    slope = float(found.slope)
    return PowerLaw(slope, slope - half, slope + half, float(np.exp(found.intercept)), len(values))

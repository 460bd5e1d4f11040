"""Confidence intervals of a mean over repeated runs.

Runs are indexed by (draw, seed). Runs of one draw share their HF frames, so their errors are correlated, and
a method that resamples or counts runs as if they were independent gives intervals that are far too short.
The independent units are the draws: a t interval on the draw means has the stated coverage whatever the
share of draw and seed in the variance. With two draws it is wide (the t quantile at one degree of freedom is 12.7);
that is what two draws are worth. For a given number of runs, more draws with fewer seeds each say more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]
Runs = Mapping[tuple[int, int], float]
"""One value a run, by (draw, seed)."""

Unit = Literal["draws", "seeds", "none"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes
    ----------
    estimate, low, high
        In the unit of the values. `low` and `high` are NaN where there are no repeats.
    level
        Confidence level, such as 0.95.
    n_runs, n_units
        How many runs, and how many independent units (draws, or seeds of a single draw) they make.
    over
        What the interval generalises over: "draws" (and seeds); "seeds" of the one draw there is; "none".
    """

    estimate: float
    low: float
    high: float
    level: float
    n_runs: int
    n_units: int
    over: Unit

    @property
    def half_width(self) -> float:
        """Half the length of the interval; NaN where there are no repeats."""
        return 0.5 * (self.high - self.low)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def t_quantile(level: float, degrees_of_freedom: float) -> float:
    """Give how many standard errors a two-sided interval reaches: a quantile of Student's t."""
    return float(special.stdtrit(degrees_of_freedom, 0.5 + level / 2))


def standard_error(values: Array) -> float:
    """Give the standard error of the mean of independent values, shape (n,) with n at least 2."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def t_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of independent values; (NaN, NaN) for fewer than two.

    Raises
    ------
    ValueError
        If `values` is empty, not one-dimensional, or has a number that is not finite.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError("values: expected a one-dimensional array of at least one finite number.")
    if len(sample) < 2:
        return float("nan"), float("nan")
    reach = t_quantile(level, len(sample) - 1) * standard_error(sample)
    return float(sample.mean()) - reach, float(sample.mean()) + reach


def unit_means(runs: Runs) -> tuple[Array, Unit]:
    """Average a run's value within each draw; with a single draw, its seeds are the units.

    Returns
    -------
    means : ndarray, shape (n_units,)
        In ascending order of draw (or seed).
    over : "draws", "seeds" or "none"

    Raises
    ------
    ValueError
        If there is no run, or a value is not finite: a failed run has no error and is counted, not averaged.
    """
    if not runs:
        raise ValueError("runs: expected at least one.")
    bad = [key for key, value in runs.items() if not np.isfinite(value)]
    if bad:
        raise ValueError(f"run (draw, seed) = {bad[0]}: its value is not finite; count it as failed instead.")
    draws = sorted({draw for draw, _ in runs})
    if len(draws) > 1:
        means = [np.mean([value for (d, _), value in runs.items() if d == draw]) for draw in draws]
        return np.asarray(means, dtype=np.float64), "draws"
    values = np.asarray([runs[key] for key in sorted(runs)], dtype=np.float64)
    return values, "seeds" if len(values) > 1 else "none"


def mean_interval(runs: Runs, level: float = 0.95) -> Interval:
    """Mean over runs with its confidence interval.

    Parameters
    ----------
    runs
        Value of each run by (draw, seed). The estimate is the mean of the draw means: the plain mean when
        every draw has the same seeds.
    level
        Confidence level.

    Returns
    -------
    Interval
        Over draws if there are two or more; over seeds, and so for that one draw only, if there is one.

    Raises
    ------
    ValueError
        If there is no run or a value is not finite.
    """
    means, over = unit_means(runs)
    low, high = t_interval(means, level)
    return Interval(float(means.mean()), low, high, level, len(runs), len(means), over)

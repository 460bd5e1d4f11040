"""Has a metric moved by more than its seeds scatter? Pure functions of arrays.

Values are logarithms of a metric, one for each seed. The baseline's values estimate the spread of a seed, s, with
n_b - 1 degrees of freedom, and the mean of n new seeds of unchanged code lies within

    t(n_b - 1) s sqrt(1 / n_b + 1 / n)

of the baseline's mean (the prediction interval of a mean; G. J. Hahn and W. Q. Meeker, Statistical Intervals, 1991,
section 4.8). If the new seeds are among the baseline's, Student's paired t test of the differences sees much smaller
changes; the two p values then share the level (Bonferroni). The paired one alone would not do: where a change wrecks
one seed of ten, it inflates the spread of the differences with their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

LEVEL = 0.02
"""Probability that unchanged code with new seeds raises any false alarm, all metrics together: on average over
baselines at most one alarm in 50 re-runs, so that one unlucky baseline still has about one in 20."""

POWER = 0.8
"""Probability with which the smallest detectable change is detected."""

FEWEST = 3
"""Seeds of a baseline, or pairs, below which there is no spread to speak of."""

Array = NDArray[np.float64]
Values = Mapping[int, float]
"""A value (logarithm of a metric) by seed."""


@dataclass(frozen=True)
class Error:
    """Standard error of a change, with its degrees of freedom."""

    value: float
    degrees_of_freedom: int

    def tails(self, change: float) -> tuple[float, float]:
        """One-sided p of "has not risen" and "has not fallen"."""
        if self.value == 0.0:
            return (0.5, 0.5) if change == 0.0 else (float(change < 0.0), float(change > 0.0))
        upper = float(special.stdtr(self.degrees_of_freedom, -change / self.value))
        return upper, 1.0 - upper

    def reach(self, level: float, power: float) -> float:
        """Change that passes a one-sided level with a probability; 0.5 gives the threshold itself."""
        return (quantile(1.0 - level, self.degrees_of_freedom) + quantile(power, self.degrees_of_freedom)) * self.value


@dataclass(frozen=True)
class Shift:
    """How far a metric has moved from its baseline.

    Attributes
    ----------
    change
        Mean of the new values less the mean of the baseline's; with pairs, of the same seeds.
    p_up, p_down
        One-sided p of "has not risen", "has not fallen".
    errors
        Of the change: against all seeds of the baseline and, with pairs, of the paired differences.
    identical
        Whether there are pairs and every value is the very same number.
    """

    change: float
    p_up: float
    p_down: float
    errors: tuple[Error, ...]
    identical: bool

    @property
    def paired(self) -> bool:
        """Say whether every new seed is one of the baseline's."""
        return len(self.errors) > 1

    def detectable(self, level: float, power: float = 0.5) -> float:
        """Give the change that raises an alarm at a one-sided level with a probability, about."""
        return min(error.reach(level / len(self.errors), power) for error in self.errors)


def quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t."""
    return float(special.stdtrit(degrees_of_freedom, probability))


def spread(values: Array) -> float:
    """Standard deviation over seeds, shape (n,) with n at least 2; 0 if it is rounding."""
    deviation = float(values.std(ddof=1))
    return deviation if deviation > 1e-12 * max(1.0, float(np.abs(values).max())) else 0.0


def shift(baseline: Values, new: Values, *, least_spread: float = 0.0) -> Shift:
    """Compare new values with a baseline's.

    Parameters
    ----------
    baseline, new
        By seed; the baseline has at least `FEWEST`.
    least_spread
        Spread of a seed that is assumed at least: that of comparable metrics, where this one's may be small by luck.

    Raises
    ------
    ValueError
        If the baseline has fewer than `FEWEST` seeds, there is no new value, or one is not finite.
    """
    old, fresh = np.array(list(baseline.values())), np.array(list(new.values()))
    if len(old) < FEWEST or not len(fresh) or not (np.isfinite(old).all() and np.isfinite(fresh).all()):
        raise ValueError(f"shift: expected at least {FEWEST} finite values of the baseline, and one new one.")
    scatter = max(spread(old), least_spread)
    against_all = Error(scatter * float(np.sqrt(1 / len(old) + 1 / len(fresh))), len(old) - 1)
    overall = float(fresh.mean() - old.mean())
    pairs = np.array([new[seed] - baseline[seed] for seed in new if seed in baseline])
    if not len(pairs) == len(fresh) >= FEWEST:
        return Shift(overall, *against_all.tails(overall), (against_all,), identical=False)
    change = float(pairs.mean())
    among_pairs = Error(spread(pairs) / float(np.sqrt(len(pairs))), len(pairs) - 1)
    tails = zip(against_all.tails(overall), among_pairs.tails(change), strict=True)
    up, down = (min(1.0, 2.0 * min(both)) for both in tails)
    return Shift(change, up, down, (against_all, among_pairs), identical=not pairs.any())


def pooled(cells: list[Values]) -> dict[int, float]:
    """Average metrics of several arms and splits seed by seed, over the seeds that all of them have.

    Arms with one seed share initial weights and the order of frames, so that the seed, not the run, is the
    independent unit.
    """
    common = set.intersection(*(set(values) for values in cells)) if cells else set()
    return {seed: float(np.mean([values[seed] for values in cells])) for seed in sorted(common)}

"""Which arm is better, by how much and how surely, from runs paired by (draw, seed).

Errors are compared as ratios (differences of logarithms), whose spread is alike for good and for poor arms.
The independent units are draws (see `intervals`). Two views:

- `paired_difference`: two arms on their own; exact for any mixture of draw and seed variance.
- `compare_arms`: all arms at once. With few draws the spread of a single difference is hardly known, so it is
  moderated: averaged with the spread that all arms have in common, which counts as up to `PRIOR_UNITS`
  further degrees of freedom. `best_arms`, `probability_best` and `recommend` are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import special

from mfbench.mfcore.metrics.intervals import Array, Interval, Runs, Unit, t_interval, t_quantile, unit_means
from mfbench.mfcore.metrics.significance import sign_flip_test, t_test, wilcoxon_test

PRIOR_UNITS = 4.0
"""Most degrees of freedom that the arms' common spread may add to a pair's own."""


@dataclass(frozen=True)
class PairedDifference:
    """A paired comparison of two arms.

    Attributes
    ----------
    interval
        Of `first - second` (scale "difference") or `first / second` (scale "ratio"), over the pairs in common.
    scale
        "ratio" or "difference".
    differences
        Mean difference (of errors or of their logarithms) of each independent unit, a draw; shape (n_units,).
    n_only_first, n_only_second
        Runs that only one of the two has (the other failed): left out of the pairs, never silently.
    """

    interval: Interval
    scale: Literal["ratio", "difference"]
    differences: Array
    n_only_first: int
    n_only_second: int

    @property
    def p_t(self) -> float:
        """Two-sided p of "no difference" by Student's t; NaN without repeats."""
        return t_test(self.differences)

    @property
    def p_sign_flip(self) -> float:
        """Two-sided p by flipping signs of units: 2^(1-n) at best, so not small for few; NaN without repeats."""
        return sign_flip_test(self.differences) if len(self.differences) > 1 else float("nan")

    @property
    def p_wilcoxon(self) -> float:
        """Two-sided p by Wilcoxon's signed ranks, with the same bound; NaN without repeats."""
        return wilcoxon_test(self.differences) if len(self.differences) > 1 else float("nan")


def paired_difference(
    first: Runs, second: Runs, *, scale: Literal["ratio", "difference"] = "ratio", level: float = 0.95
) -> PairedDifference:
    """Compare two arms over the (draw, seed) that both ran.

    Parameters
    ----------
    first, second
        Error of each finished run by (draw, seed).
    scale
        "ratio" of geometric means (errors must be positive) or "difference" of means.
    level
        Confidence level.

    Raises
    ------
    ValueError
        If no (draw, seed) is common, a value is not finite, or not positive on the ratio scale.
    """
    common = sorted(set(first) & set(second))
    if not common:
        raise ValueError("paired difference: the two arms have no (draw, seed) in common.")
    if scale == "ratio":
        pairs = {key: _log(first[key]) - _log(second[key]) for key in common}
    else:
        pairs = {key: first[key] - second[key] for key in common}
    means, over = unit_means(pairs)
    low, high = t_interval(means, level)
    estimate = float(means.mean())
    if scale == "ratio":
        estimate, low, high = _exp(estimate), _exp(low), _exp(high)
    return PairedDifference(
        Interval(estimate, low, high, level, len(pairs), len(means), over),
        scale,
        means,
        n_only_first=len(first) - len(common),
        n_only_second=len(second) - len(common),
    )


@dataclass(frozen=True)
class ArmComparison:
    """Mean log errors of several arms, with the covariance of their differences.

    Attributes
    ----------
    arms
        Names, length A.
    centre
        Mean log error of each arm, shape (A,).
    covariance
        Of `centre`, shape (A, A), up to what is common to all arms and cancels in every difference.
    degrees_of_freedom
        Of the t distribution that a difference follows; 0 where there are no repeats.
    n_runs, n_units, over
        Runs of each arm that enter, the independent units that they make, and what those units are.
    """

    arms: tuple[str, ...]
    centre: Array
    covariance: Array
    degrees_of_freedom: float
    n_runs: int
    n_units: int
    over: Unit

    def difference(self, first: str, second: str) -> tuple[float, float]:
        """Log ratio of two arms' errors and its standard error."""
        a, b = self.arms.index(first), self.arms.index(second)
        variance = self.covariance[a, a] + self.covariance[b, b] - 2.0 * self.covariance[a, b]
        return float(self.centre[a] - self.centre[b]), float(np.sqrt(max(variance, 0.0)))

    def ratio(self, first: str, second: str, level: float = 0.95) -> Interval:
        """Ratio of two arms' errors with its moderated interval."""
        estimate, error = self.difference(first, second)
        reach = float("nan")
        if self.degrees_of_freedom > 0:
            reach = t_quantile(level, self.degrees_of_freedom) * error
        low, high = _exp(estimate - reach), _exp(estimate + reach)
        return Interval(_exp(estimate), low, high, level, self.n_runs, self.n_units, self.over)

    def p_worse(self, first: str, second: str) -> float:
        """One-sided p of "`first` is no worse than `second`"; NaN where there are no repeats."""
        if self.degrees_of_freedom <= 0:
            return float("nan")
        estimate, error = self.difference(first, second)
        if error == 0.0:
            return 0.5 if estimate == 0.0 else float(estimate < 0.0)
        return float(special.stdtr(self.degrees_of_freedom, -estimate / error))

    def p_different(self, first: str, second: str) -> float:
        """Two-sided p of "the arms are equal"; correct a family of these with `significance.holm`."""
        worse = self.p_worse(first, second)
        return min(1.0, 2.0 * min(worse, 1.0 - worse)) if worse == worse else worse


def compare_arms(errors: Mapping[str, Runs], *, prior_units: float = PRIOR_UNITS) -> ArmComparison:
    """Compare arms over the (draw, seed) that all of them finished.

    The variance of a difference is (d0 s0² + d s²) / (d0 + d) with d + d0 degrees of freedom: s² is the pair's
    own, from d = units - 1, and s0² the mean over all arms, with d0 = min(prior_units, (A - 2) d), which is
    what the other arms can tell (G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004), with a fixed d0). It
    is 0 for two arms: they get Student's paired t test. Intervals have their level on average over the pairs;
    a pair that scatters much more than the rest gets too short a one: `paired_difference` does not.

    Parameters
    ----------
    errors
        By arm: the error (positive) of each finished run by (draw, seed).
    prior_units
        Cap on d0; 0 uses each pair's own spread alone.

    Raises
    ------
    ValueError
        If there is no arm, no (draw, seed) that all have, or an error that is not finite and positive.
    """
    if not errors:
        raise ValueError("arms: expected at least one.")
    common = set.intersection(*(set(runs) for runs in errors.values()))
    if not common:
        raise ValueError("arms: there is no (draw, seed) that all of them finished.")
    rows = {arm: log_means({key: runs[key] for key in common}) for arm, runs in errors.items()}
    return compare_means(rows, n_runs=len(common), prior_units=prior_units)


def log_means(errors: Runs) -> tuple[Array, Unit]:
    """Mean log error of each independent unit, shape (n_units,), and what the units are.

    Raises
    ------
    ValueError
        If an error is not finite and positive.
    """
    return unit_means({key: _log(error) for key, error in errors.items()})


def compare_means(
    rows: Mapping[str, tuple[Array, Unit]], *, n_runs: int, prior_units: float = PRIOR_UNITS
) -> ArmComparison:
    """Compare arms as :func:`compare_arms` does, by their :func:`log_means` over the same `n_runs` runs."""
    table = np.stack([means for means, _ in rows.values()])
    over = [unit for _, unit in rows.values()][-1]
    n_arms, n_units = table.shape
    # Effects common to all arms (an easy draw) cancel in every difference: only the interaction is kept.
    interaction = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    own = float(n_units - 1)
    covariance = np.zeros((n_arms, n_arms))
    borrowed = 0.0
    if n_units > 1 and n_arms > 1:
        borrowed = min(prior_units, (n_arms - 2) * own)
        pooled = float(np.square(interaction).sum()) / ((n_arms - 1) * own)
        # Σ d s² = interaction · interactionᵀ; a difference of two arms of the pooled part has variance 2 s0².
        covariance = (borrowed * pooled * np.eye(n_arms) + interaction @ interaction.T) / (borrowed + own)
        covariance /= n_units
    return ArmComparison(tuple(rows), table.mean(axis=1), covariance, own + borrowed, n_runs, n_units, over)


def best_arms(comparison: ArmComparison, level: float = 0.95) -> tuple[str, ...]:
    """Give the arms that may be the best: the one with the smallest error, and its ties.

    An arm is left out if some other arm is better by a one-sided test, Bonferroni-corrected for the number of
    others. The set contains the truly best arm with probability at least `level` (multiple comparisons with
    the best), however many arms there are. Without repeats nothing can be left out.
    """
    threshold = (1.0 - level) / max(len(comparison.arms) - 1, 1)
    return tuple(
        arm
        for arm in comparison.arms
        if not any(comparison.p_worse(arm, other) < threshold for other in comparison.arms if other != arm)
    )


def probability_best(comparison: ArmComparison, *, n_samples: int = 20_000, seed: int = 0) -> dict[str, float]:
    """Give each arm's probability of having the smallest expected error.

    Sampled from the joint t distribution of the arms' mean log errors, so that each pair of arms gets the
    probability that its one-sided test gives. Equal arms share. NaN where there are no repeats.

    Parameters
    ----------
    comparison
        From `compare_arms`.
    n_samples, seed
        Number of samples, and the seed of their generator.
    """
    if comparison.degrees_of_freedom <= 0:
        return dict.fromkeys(comparison.arms, 1.0 if len(comparison.arms) == 1 else float("nan"))
    # A triangular factor is the same on every machine; eigenvectors have any sign, and the samples with them. Arms that
    # share a draw make the covariance singular: what is added is far below its rounding.
    covariance = comparison.covariance
    tiny = 1e-12 * float(np.diag(covariance).max()) + 1e-300
    factor = np.linalg.cholesky(covariance + tiny * np.eye(len(covariance)))
    normal, scale = _samples(n_samples, len(covariance), comparison.degrees_of_freedom, seed)
    samples = comparison.centre + (normal @ factor.T) / scale[:, None]
    is_best = samples <= samples.min(axis=1, keepdims=True) + 1e-12
    shares = is_best / is_best.sum(axis=1, keepdims=True)
    return dict(zip(comparison.arms, (float(x) for x in shares.mean(axis=0)), strict=True))


@lru_cache(maxsize=8)
def _samples(n_samples: int, n_arms: int, df: float, seed: int) -> tuple[Array, Array]:
    """Standard normal samples (n_samples, n_arms), and scales (n_samples,) that make them of a t distribution."""
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal((n_samples, n_arms))
    scale = np.sqrt(generator.chisquare(df, n_samples) / df)
    for array in (normal, scale):
        array.flags.writeable = False
    return normal, scale


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):  # two scattered draws can give an interval that reaches to infinity
        return float(np.exp(value))


def _log(error: float) -> float:
    if not (np.isfinite(error) and error > 0.0):
        raise ValueError(f"error {error}: a ratio needs finite positive errors; count others as failed.")
    return float(np.log(error))

"""Better arms, by how much and how surely, from runs paired by (draw, seed) and by test structure.

Errors are compared as ratios (differences of logarithms), whose spread is alike for good and for poor arms.
The independent units are draws (see `intervals`) and, where errors are known by group of test structures, these groups
(see `structures`). Two views:

- `paired_difference`: two arms on their own, over runs; exact for any mixture of draw and seed variance.
- `compare_arms`: all arms at once, over runs and groups. With few draws the spread of a single difference is hardly
  known, so it is moderated: averaged with the spread that all arms have in common, which counts as up to
  `PRIOR_UNITS` further degrees of freedom. `best_arms`, `probability_best` and `recommend` are read from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import special

from mfbench.mfcore.metrics.arm_spread import Spread, joint_degrees_of_freedom, spread_over, without_residue
from mfbench.mfcore.metrics.intervals import Array, Interval, Runs, Unit, t_interval, t_quantile, unit_means
from mfbench.mfcore.metrics.significance import sign_flip_test, t_test, wilcoxon_test
from mfbench.mfcore.metrics.structures import StructureErrors

PRIOR_UNITS = 4.0
"""Most degrees of freedom that the arms' common spread may add to a pair's own."""

NAMING_P = 0.02
"""One-sided p, of each other arm, below which the best one stands alone.

Of two equal arms either may be named, so one is in 2 × 0.02 of cases; the rest up to 0.05 is left to what variances
from few repeats and groups are off. More equal arms are named less often: the best has to beat each of the others.
"""

NAMING_P_OF_FEW = 0.0125
"""The same where one of the two arms has no more than three repeats, of which a variance is known least.

With 0.02 one of two equal arms is named in up to 6 % of cases there (simulation of 2,000), with 0.0125 in up to 4.3 %.
"""

FEW_REPEATS = 3
"""Repeats up to which `NAMING_P_OF_FEW` holds."""


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
    by_run, by_group
        Spread over repeats, and over groups of test structures; None where errors by group are not known.
    runs
        Numbers of runs of each arm that enter.
    n_units, over
        Independent units that the runs make, and what those units are.
    n_groups
        Groups of test structures; 0 where errors by group are not known.
    repeats
        Independent units (of `n_units`) that each arm has runs of.
    """

    arms: tuple[str, ...]
    centre: Array
    by_run: Spread
    by_group: Spread | None
    runs: tuple[int, ...]
    n_units: int
    over: Unit
    n_groups: int = 0
    repeats: tuple[int, ...] = ()

    @property
    def covariance(self) -> Array:
        """Of `centre`, shape (A, A), up to what is common to all arms and cancels in every difference."""
        return self.by_run.covariance if self.by_group is None else self.by_run.covariance + self.by_group.covariance

    @property
    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of the arms' joint t distribution; 0 where there are no repeats."""
        parts = [self.by_run] if self.by_group is None else [self.by_run, self.by_group]
        if self.n_units < 2:
            return 0.0
        return joint_degrees_of_freedom([(part.total, float(part.degrees_of_freedom.max())) for part in parts])

    def difference(self, first: str, second: str) -> tuple[float, float]:
        """Log ratio of two arms' errors and its standard error."""
        estimate, error, _ = self._difference(first, second)
        return estimate, error

    def _difference(self, first: str, second: str) -> tuple[float, float, float]:
        """Give also the degrees of freedom; 0 where there are no repeats."""
        a, b = self.arms.index(first), self.arms.index(second)
        parts = [self.by_run.of_difference(a, b)]
        if self.by_group is not None:
            parts.append(self.by_group.of_difference(a, b))
        freedom = joint_degrees_of_freedom(parts) if parts[0][1] > 0.0 else 0.0
        return float(self.centre[a] - self.centre[b]), float(np.sqrt(sum(variance for variance, _ in parts))), freedom

    def ratio(self, first: str, second: str, level: float = 0.95) -> Interval:
        """Ratio of two arms' errors with its moderated interval."""
        estimate, error, freedom = self._difference(first, second)
        reach = t_quantile(level, freedom) * error if freedom > 0.0 else float("nan")
        low, high = _exp(estimate - reach), _exp(estimate + reach)
        n_runs = min(self.runs[self.arms.index(arm)] for arm in (first, second))
        return Interval(_exp(estimate), low, high, level, n_runs, self.n_units, self.over)

    def p_worse(self, first: str, second: str) -> float:
        """One-sided p of "`first` is no worse than `second`"; NaN where there are no repeats."""
        estimate, error, freedom = self._difference(first, second)
        if freedom <= 0.0:
            return float("nan")
        if error == 0.0:
            return 0.5 if estimate == 0.0 else float(estimate < 0.0)
        return float(special.stdtr(freedom, -estimate / error))

    def naming_p(self, first: str, second: str) -> float:
        """Give the p below which one of two arms is taken to be worse where an arm is named."""
        fewest = min(self.repeats[self.arms.index(arm)] for arm in (first, second))
        return NAMING_P_OF_FEW if fewest <= FEW_REPEATS else NAMING_P

    def p_different(self, first: str, second: str) -> float:
        """Two-sided p of "the arms are equal"; correct a family of these with `significance.holm`."""
        worse = self.p_worse(first, second)
        return min(1.0, 2.0 * min(worse, 1.0 - worse)) if worse == worse else worse


def compare_arms(
    errors: Mapping[str, Runs],
    structures: Mapping[str, StructureErrors] | None = None,
    *,
    prior_units: float = PRIOR_UNITS,
) -> ArmComparison:
    """Compare arms over their runs and, where these are known, over the groups of test structures.

    How variances are estimated is said in `arm_spread`. Intervals have their level on average over the pairs; a pair
    that scatters much more than the rest gets too short a one: `paired_difference` does not.

    An arm that lacks a run that others have (it failed) is compared on those that it has: for the rest it gets what its
    own mean and the others' runs let expect, its variance and degrees of freedom are those of its own runs, and
    nothing changes between the other arms.

    Parameters
    ----------
    errors
        By arm: the error (positive) of each finished run by (draw, seed).
    structures
        By arm: deviations of the groups of test structures in these runs; None where they are not known.
    prior_units
        Cap on the degrees of freedom that come from the other arms; 0 uses each pair's own spread alone.

    Raises
    ------
    ValueError
        If there is no arm, an arm that has no (draw, seed) in common with the others, an error that is not finite and
        positive, or a run or group that `structures` lacks.
    """
    if not errors:
        raise ValueError("arms: expected at least one.")
    logs, keys = _log_table(errors)
    draws = sorted({draw for draw, _ in keys})
    over: Unit = "draws" if len(draws) > 1 else "seeds" if len(keys) > 1 else "none"
    units = np.array([draws.index(draw) for draw, _ in keys] if len(draws) > 1 else range(len(keys)))
    n_units = int(units.max()) + 1
    present = np.array([[key in runs for key in keys] for runs in errors.values()])
    average = np.stack([(units == unit) / (units == unit).sum() for unit in range(n_units)], axis=1)  # (R, units)
    table = logs @ average
    counts = ((present @ average) > 0.0).sum(axis=1)
    n_arms = len(table)
    if n_units < 2 or n_arms < 2:
        by_run = Spread(np.zeros((n_arms, n_arms)), np.full(n_arms, float(n_units - 1)))
    else:
        # An expected value has no interaction; the row is scaled so that its variance is that of the runs there are.
        own = np.maximum(counts, 1)
        scale = np.sqrt(n_units * (n_units - 1.0) / np.maximum(own * (own - 1.0), 1.0))
        centred = table - table.mean(axis=0)
        row_means = centred.mean(axis=1, keepdims=True)
        by_run = spread_over(row_means + (centred - row_means) * scale[:, None], counts - 1.0, prior_units)
    by_group, n_groups = None, 0
    if structures is not None:
        known = [structures[arm] for arm in errors]
        n_groups = known[0].n_groups
        if n_groups > 1 and n_units > 1 and n_arms > 1:
            by_run, by_group = _with_groups(by_run, known, errors, keys, average, prior_units)
    runs_of = tuple(len(runs) for runs in errors.values())
    repeats = tuple(int(n) for n in counts)
    return ArmComparison(tuple(errors), table.mean(axis=1), by_run, by_group, runs_of, n_units, over, n_groups, repeats)


def _log_table(errors: Mapping[str, Runs]) -> tuple[Array, list[tuple[int, int]]]:
    """Log errors, shape (arms, runs), and the (draw, seed) of the runs; lacking ones as effects of arm and run say."""
    counts = Counter(key for runs in errors.values() for key in runs)
    keys = sorted(key for key, n in counts.items() if n > 1 or len(errors) == 1)
    if not keys or any(not set(runs) & set(keys) for runs in errors.values()):
        raise ValueError("arms: there is one that has no (draw, seed) in common with another.")
    table = np.array([[_log(runs[key]) if key in runs else np.nan for key in keys] for runs in errors.values()])
    lacking = np.isnan(table)
    if lacking.any():
        arm, run = np.nonzero(~lacking)
        design = np.zeros((len(arm), len(table) + len(keys)))
        design[np.arange(len(arm)), arm] = 1.0
        design[np.arange(len(arm)), len(table) + run] = 1.0
        effects, _, rank, _ = np.linalg.lstsq(design, table[arm, run], rcond=None)
        if rank < len(table) + len(keys) - 1:
            raise ValueError("arms: some have no (draw, seed) in common with the others.")
        expected = effects[: len(table), None] + effects[None, len(table) :]
        table = np.where(lacking, expected, table)
    return table, keys


def _with_groups(
    by_run: Spread,
    structures: Sequence[StructureErrors],
    errors: Mapping[str, Runs],
    keys: Sequence[tuple[int, int]],
    average: Array,
    prior_units: float,
) -> tuple[Spread, Spread]:
    """Estimate the spread over groups of test structures, and take out what varies with run and group at once."""
    rows, residues = [], []
    for found, runs in zip(structures, errors.values(), strict=True):
        present = np.array([key in runs for key in keys])
        if found.n_groups != structures[0].n_groups or any(key not in found.deviations for key in runs):
            raise ValueError("structures: expected the same groups in each run of each arm.")
        deviations = np.stack([found.deviations[key] for key in keys if key in runs])
        mean = deviations.mean(axis=0)
        whole = np.tile(mean, (len(keys), 1))
        whole[present] = deviations
        rows.append(mean)
        residues.append(average.T @ (whole - mean))
    table = np.stack(rows)
    n_arms, n_groups = table.shape
    freedom = np.full(n_arms, structures[0].degrees_of_freedom)
    by_group = spread_over(table, freedom, prior_units)
    residue = np.stack(residues)
    residue = residue - residue.mean(axis=0) - residue.mean(axis=1, keepdims=True) + residue.mean(axis=(0, 1))
    n_units = residue.shape[1]
    squares = float(np.square(residue).sum()) / ((n_units - 1) * (n_groups - 1))
    return without_residue(by_run, by_group, squares / (n_units * n_groups))


def best_arms(comparison: ArmComparison, level: float = 0.95) -> tuple[str, ...]:
    """Give the arms that may be the best: the one with the smallest error, and its ties.

    An arm is left out if some other arm is better by a one-sided test, Bonferroni-corrected for the number of
    others. The set contains the truly best arm with probability at least `level` (multiple comparisons with
    the best; J. C. Hsu, Ann. Stat. 12, 1136 (1984)), however many arms there are. An arm that is better than every
    other at p < `NAMING_P` (of three repeats, `NAMING_P_OF_FEW`) stands alone: that it beats all of them is one claim,
    which needs no correction (intersection-union test; R. L. Berger, Technometrics 24, 295 (1982)). Without repeats
    nothing can be left out.
    """
    first = comparison.arms[int(np.argmin(comparison.centre))]
    if all(comparison.p_worse(arm, first) < comparison.naming_p(arm, first) for arm in comparison.arms if arm != first):
        return (first,)
    corrected = (1.0 - level) / max(len(comparison.arms) - 1, 1)

    def worse(arm: str, other: str) -> bool:
        return comparison.p_worse(arm, other) < min(comparison.naming_p(arm, other), corrected)

    return tuple(
        arm for arm in comparison.arms if not any(worse(arm, other) for other in comparison.arms if other != arm)
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
    df = comparison.degrees_of_freedom
    normal = _normal(n_samples, len(covariance), seed)
    scale = np.sqrt(np.random.default_rng([seed, 1]).chisquare(df, n_samples) / df)  # makes them of a t distribution
    samples = comparison.centre + (normal @ factor.T) / scale[:, None]
    is_best = samples <= samples.min(axis=1, keepdims=True) + 1e-12
    shares = is_best / is_best.sum(axis=1, keepdims=True)
    return dict(zip(comparison.arms, (float(x) for x in shares.mean(axis=0)), strict=True))


@lru_cache(maxsize=8)
def _normal(n_samples: int, n_arms: int, seed: int) -> Array:
    """Standard normal samples, shape (n_samples, n_arms)."""
    normal = np.random.default_rng(seed).standard_normal((n_samples, n_arms))
    normal.flags.writeable = False
    return normal


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):  # two scattered draws can give an interval that reaches to infinity
        return float(np.exp(value))


def _log(error: float) -> float:
    if not (np.isfinite(error) and error > 0.0):
        raise ValueError(f"error {error}: a ratio needs finite positive errors; count others as failed.")
    return float(np.log(error))

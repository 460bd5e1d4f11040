"""Spread over draws and groups of test structures of numbers that are made of several mean log errors.

Data efficiency, extrapolated errors and break-even points are functions of the ends of learning curves. Their log
errors vary with the draw of the HF set, with the group of test structures, and with both at once: the crossed model of
`arm_spread`, here for any linear combination of log errors, and for functions of them by a parametric bootstrap.
In simulations of 3 to 6 draws and 3 to 30 groups 94 to 98 % of the 95 % intervals hold the truth, and 98 to 99 % where
three draws and three groups scatter alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfbench.mfcore.metrics.arm_spread import joint_degrees_of_freedom
from mfbench.mfcore.metrics.intervals import Array, t_quantile
from mfbench.mfcore.metrics.recommendation import FEWEST_GROUPS, FEWEST_REPEATS

SAMPLES = 4_000
"""Samples of a parametric bootstrap: the ends of a 95 % interval are then at 2.5 ± 0.25 %."""


@dataclass(frozen=True)
class Crossed:
    """Estimates of K log errors, or linear combinations of them, and the factors F of their covariances F Fᵀ.

    Attributes
    ----------
    estimate
        Shape (K,).
    by_draw, by_group, by_both
        Factors of the covariance over D draws, over G groups, and of what varies with both at once and is in the other
        two; shapes (K, D), (K, G) and (K, D·G); G = 0 where errors by group are not known.
    group_freedom
        Degrees of freedom of a variance over the groups.
    """

    estimate: Array
    by_draw: Array
    by_group: Array
    by_both: Array
    group_freedom: float

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return int(self.by_draw.shape[1])

    @property
    def n_groups(self) -> int:
        """Number of groups of test structures; 0 where errors by group are not known."""
        return int(self.by_group.shape[1])

    def spread(self, weights: Array) -> tuple[float, float]:
        """Standard error of a linear combination, shape (K,), and its degrees of freedom; 0 of a single draw."""
        if self.n_draws < 2:
            return float("nan"), 0.0
        draws, groups, both = (
            float(np.square(weights @ factor).sum()) for factor in (self.by_draw, self.by_group, self.by_both)
        )
        parts = [(draws, float(self.n_draws - 1))] + ([(groups, self.group_freedom)] if self.n_groups else [])
        return float(np.sqrt(draws + groups - min(draws, groups, both))), joint_degrees_of_freedom(parts)

    def interval(self, weights: Array, level: float = 0.95) -> tuple[float, float]:
        """Student's interval of a linear combination; (NaN, NaN) of a single draw."""
        error, freedom = self.spread(weights)
        if freedom <= 0.0:
            return float("nan"), float("nan")
        centre, reach = float(weights @ self.estimate), t_quantile(level, freedom) * error
        return centre - reach, centre + reach

    def samples(self, n: int = SAMPLES, seed: int = 0) -> Array:
        """Draw the estimates anew, shape (n, K): a t-distributed effect of the draws and one of the groups.

        Each has the degrees of freedom of its own covariance, so that combinations that vary more with the one or with
        the other get what they need.

        Raises
        ------
        ValueError
            If there is a single draw.
        """
        if self.n_draws < 2:
            raise ValueError("samples: expected at least two draws.")
        totals = [float(np.square(factor).sum()) for factor in (self.by_draw, self.by_group)]
        common = min(*totals, float(np.square(self.by_both).sum()))
        found = np.tile(self.estimate, (n, 1))
        parts = zip((self.by_draw, self.by_group), totals, (self.n_draws - 1.0, self.group_freedom), strict=True)
        for index, (factor, total, freedom) in enumerate(parts):
            if total > 0.0:
                generator = np.random.default_rng([seed, index])
                normal = generator.standard_normal((n, factor.shape[1]))
                scale = np.sqrt(generator.chisquare(freedom, n) / freedom * total / (total - 0.5 * common))
                found += (normal @ factor.T) / scale[:, None]
        return found


def crossed(values: Array, deviations: Array | None = None, group_freedom: float = 0.0) -> Crossed:
    """Estimate the spread of the means of K statistics.

    Parameters
    ----------
    values
        Of each statistic in each draw, shape (K, D).
    deviations
        Pseudo-values of each group of test structures less the statistic of the draw, shape (K, D, G) (see
        `structures`); None where they are not known: the spread is over draws alone.
    group_freedom
        Degrees of freedom of a variance over the groups.
    """
    n_draws = values.shape[1]
    mean = values.mean(axis=1)
    by_draw = (values - mean[:, None]) / np.sqrt(n_draws * max(n_draws - 1.0, 1.0))
    if deviations is None or deviations.shape[2] < 2:
        return Crossed(mean, by_draw, np.zeros((len(values), 0)), np.zeros((len(values), 0)), 0.0)
    n_groups = deviations.shape[2]
    of_group = deviations.mean(axis=1)
    of_group = of_group - of_group.mean(axis=1, keepdims=True)
    both = deviations - deviations.mean(axis=2, keepdims=True) - of_group[:, None, :]
    by_both = both.reshape(len(values), -1)
    by_both = by_both / np.sqrt(n_draws * n_groups * max(n_draws - 1.0, 1.0) * (n_groups - 1.0))
    return Crossed(mean, by_draw, of_group / np.sqrt(n_groups * (n_groups - 1.0)), by_both, group_freedom)


def lacking(n_draws: int, n_groups: int, *, same_frames: bool = False) -> str:
    """Say why a number can have no interval over draws and groups; "" if it can.

    Parameters
    ----------
    n_draws, n_groups
        Draws that enter it, and groups of test structures; 0 groups: errors by group are not known.
    same_frames
        Whether the draws have nearly all of their HF frames in common, at one of the set sizes that enter.
    """
    if n_draws < FEWEST_REPEATS:
        return f"{n_draws} draw{'s' * (n_draws != 1)} of the HF set, and at least {FEWEST_REPEATS} are asked for"
    if same_frames:
        return "the draws are nearly the same HF frames"
    if n_groups < 1:
        return "errors by group of test structures are not stored"
    if n_groups < FEWEST_GROUPS:
        groups = f"{n_groups} group{'s' * (n_groups != 1)} of test structures"
        return f"{groups}, and at least {FEWEST_GROUPS} are asked for"
    return ""

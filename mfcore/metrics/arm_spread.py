"""Spread of arms' mean log errors over repeats and over groups of test structures, which are crossed.

Each (arm, repeat, group) has one pseudo-value of the log error; arms are fixed, repeats (draws, seeds) and groups
(molecules, trajectory blocks) are random. The difference of two arms varies with the repeat (arm × repeat) and with the
group (arm × group); a residue varies with both. This is the analysis of variance of diagnostic studies with several
readers and cases (D. D. Dorfman, K. S. Berbaum, C. E. Metz, Invest. Radiol. 27, 723 (1992); S. L. Hillis, Stat. Med.
26, 596 (2007)): the variances over repeats and over groups are added, and the residue, which is in both, is taken out
once. Like Hillis we keep the estimate from falling below either variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfbench.mfcore.metrics.intervals import Array


@dataclass(frozen=True)
class Spread:
    """Covariance of arms' means over one kind of unit, repeats or groups.

    Attributes
    ----------
    covariance
        Shape (A, A); what is common to all arms is taken out, which cancels in every difference.
    degrees_of_freedom
        Of each arm's variance, shape (A,).
    """

    covariance: Array
    degrees_of_freedom: Array

    def of_difference(self, first: int, second: int) -> tuple[float, float]:
        """Variance of the difference of two arms' means, and its degrees of freedom: those of the arm with fewer."""
        c = self.covariance
        variance = float(c[first, first] + c[second, second] - 2.0 * c[first, second])
        return max(variance, 0.0), float(min(self.degrees_of_freedom[first], self.degrees_of_freedom[second]))

    @property
    def total(self) -> float:
        """Sum over arms of the variances about their mean."""
        c = self.covariance
        return float(np.trace(c) - c.sum() / len(c))


def spread_over(table: Array, own: Array, prior: float) -> Spread:
    """Estimate the covariance of the row means of a table of arms (rows) and units.

    The variance of a difference is (d0 s0² + d s²) / (d0 + d) with d + d0 degrees of freedom: s² is the pair's own,
    from d of them, and s0² the mean over all arms, with d0 = min(prior, (A - 2) d), which is what the other arms can
    tell (G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 3, 3 (2004), with a fixed d0). d0 is 0 for two arms.

    Parameters
    ----------
    table
        Shape (A, n), n at least 2.
    own
        Degrees of freedom d of each arm, shape (A,).
    prior
        Cap on d0.
    """
    n_arms, n = table.shape
    # Effects common to all arms (an easy draw, a hard molecule) cancel in every difference.
    interaction = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    most = float(own.max())
    borrowed = min(prior, (n_arms - 2) * most)
    pooled = float(np.square(interaction).sum()) / ((n_arms - 1) * (n - 1))
    covariance = borrowed * pooled * np.eye(n_arms) + most * interaction @ interaction.T / (n - 1)
    return Spread(covariance / (borrowed + most) / n, own + borrowed)


def without_residue(runs: Spread, groups: Spread, residue: float) -> tuple[Spread, Spread]:
    """Take what varies with repeat and group at once out of one of the two variances that both have it in.

    Parameters
    ----------
    residue
        Of the means, summed over arms like :attr:`Spread.total`.
    """
    totals = runs.total, groups.total
    common = min(residue, *totals)
    if common <= 0.0:
        return runs, groups
    first, second = (
        Spread(spread.covariance * (1.0 - 0.5 * common / total), spread.degrees_of_freedom)
        for spread, total in zip((runs, groups), totals, strict=True)
    )
    return first, second


def joint_degrees_of_freedom(parts: list[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own: 1/d = Σ λ/d_i, λ the share of each variance.

    Welch's and Satterthwaite's λ² in place of λ covers 91 % where three groups rule; this 94 to 97 % in simulations
    of 3 to 30 groups and 5 repeats. 0 if a part that varies has none.
    """
    total = sum(variance for variance, _ in parts)
    if total <= 0.0:
        return min(freedom for _, freedom in parts)
    if any(freedom <= 0.0 < variance for variance, freedom in parts):
        return 0.0
    return 1.0 / sum(variance / total / freedom for variance, freedom in parts if freedom > 0.0)

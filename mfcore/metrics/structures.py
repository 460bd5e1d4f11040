"""Share of each group of test structures in the error of a run: what makes a ranking depend on the test set.

An error is a mean over test frames, which come in groups (molecules, trajectory blocks). Arms err differently on
different groups, so another test set would rank them otherwise, however often the trainings are repeated. The log of
a mean error m = Σ s_g e_g, of groups with errors e_g and shares s_g (Σ s_g = 1), is to first order a mean over groups
of c_g = log m + G s_g (e_g - m) / m, the infinitesimal jackknife's pseudo-values (B. Efron, J. R. Stat. Soc. B 54, 83
(1992)): their spread over groups gives the variance of log m.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mfbench.mfcore.metrics.intervals import Array, unit_means


@dataclass(frozen=True)
class StructureErrors:
    """Deviations of the groups of test structures from the log error of each run of an arm.

    Attributes
    ----------
    shares
        Share of each group in the mean error, shape (G,); they sum to 1 and are the same for all arms and runs.
    deviations
        By (draw, seed): pseudo-value of each group less the run's log error, shape (G,); their mean is zero.
    """

    shares: Array
    deviations: Mapping[tuple[int, int], Array]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.shares)

    @property
    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of a variance over the groups: G - 1 for equal shares, fewer where few groups rule."""
        return float(np.square(self.shares).sum() ** 2 / (self.shares**4).sum() - 1.0)


def structure_errors(groups: Mapping[tuple[int, int], ArrayLike], weights: ArrayLike) -> StructureErrors:
    """Take the pseudo-values of the groups of some runs.

    Parameters
    ----------
    groups
        Mean error of each group, shape (G,), by (draw, seed) of the run; all finite, with a positive mean.
    weights
        Weight of each group in the mean error (its number of frames or force components), shape (G,).

    Raises
    ------
    ValueError
        If a shape is wrong, a weight is not positive, or an error is not finite or has no positive mean.
    """
    shares = np.asarray(weights, dtype=np.float64)
    if shares.ndim != 1 or not len(shares) or not (np.isfinite(shares) & (shares > 0.0)).all():
        raise ValueError("weights: expected one positive number for each group of test structures.")
    shares = shares / shares.sum()
    deviations = {}
    for run, values in groups.items():
        errors = np.asarray(values, dtype=np.float64)
        mean = float(errors @ shares) if errors.shape == shares.shape else float("nan")
        if not (np.isfinite(mean) and mean > 0.0):
            raise ValueError(f"run (draw, seed) = {run}: expected {len(shares)} finite errors of positive mean.")
        deviations[run] = len(shares) * shares * (errors - mean) / mean
    return StructureErrors(shares, deviations)


def unit_deviations(errors: StructureErrors, runs: Collection[tuple[int, int]]) -> Array:
    """Mean deviation of each group over the runs of a unit (:func:`unit_means`), shape (n_units, G)."""
    each = [unit_means({run: float(errors.deviations[run][g]) for run in runs})[0] for g in range(errors.n_groups)]
    return np.stack(each, axis=1)


def combined(parts: Sequence[tuple[float, StructureErrors]]) -> StructureErrors:
    """Give the deviations of a weighted sum of log errors, such as one between two measured set sizes.

    Parameters
    ----------
    parts
        Weight of each log error in the sum, and its deviations; only runs that all parts have are kept.

    Raises
    ------
    ValueError
        If there is no part, or the groups differ.
    """
    if not parts or any(part.shares.shape != parts[0][1].shares.shape for _, part in parts):
        raise ValueError("structure errors: expected at least one part, and the same groups in all.")
    runs = set.intersection(*(set(part.deviations) for _, part in parts))
    return StructureErrors(
        parts[0][1].shares,
        {run: np.sum([weight * part.deviations[run] for weight, part in parts], axis=0) for run in sorted(runs)},
    )

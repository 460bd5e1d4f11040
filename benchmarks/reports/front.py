"""Which results are on the Pareto front of error and cost, and how surely."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mfbench.mfcore.metrics.crossed import crossed
from mfbench.mfcore.metrics.intervals import Array, Runs, unit_means
from mfbench.mfcore.metrics.structures import StructureErrors, unit_deviations

Key = TypeVar("Key", bound=Hashable)


def on_front(costs: Array, errors: Array) -> NDArray[np.bool_]:
    """Tell which points no other point beats in one of cost and error without losing in the other.

    Parameters
    ----------
    costs
        Shape (n,).
    errors
        Shape (..., n): one set of points for each leading index.

    Returns
    -------
    ndarray of bool, shape (..., n)
        Equal points are on the front together.
    """
    table = np.asarray(errors, dtype=np.float64)
    no_dearer = costs[:, None] <= costs[None, :]  # [other, point]
    cheaper = costs[:, None] < costs[None, :]
    other, point = table[..., :, None], table[..., None, :]
    beaten = (no_dearer & (other < point)) | (cheaper & (other <= point))
    return np.asarray(~beaten.any(axis=-2))


def probability_on_front(
    errors: Mapping[Key, Runs],
    costs: Mapping[Key, float],
    structures: Mapping[Key, StructureErrors] | None = None,
    *,
    n_samples: int = 4000,
    seed: int = 0,
) -> dict[Key, float]:
    """Give each point's probability of being on the front, over draws and groups of test structures.

    The mean log errors are sampled together (`mfbench.mfcore.metrics.crossed`): two or three draws are too few to be
    resampled. What is common to all points, such as an easy draw, cancels. Costs are taken as known.

    Parameters
    ----------
    errors
        By point, the error (positive) of each finished run by (draw, seed).
    costs
        By point.
    structures
        By point, deviations of the same groups of test structures in these runs; None: over draws alone.
    n_samples, seed
        Number of samples, and the seed of their generator.

    Returns
    -------
    dict
        NaN for all where no two draws (with one draw, seeds) are common to all points.
    """
    keys = list(errors)
    if len(keys) < 2:
        return dict.fromkeys(keys, 1.0)
    common = sorted(set.intersection(*(set(runs) for runs in errors.values())))
    units = [unit_means({run: math.log(errors[key][run]) for run in common})[0] for key in keys] if common else []
    if not units or len(units[0]) < 2:
        return dict.fromkeys(keys, float("nan"))
    groups, freedom = None, 0.0
    if structures is not None:
        known = [structures[key] for key in keys]
        groups = np.stack([unit_deviations(one, common) for one in known])
        freedom = min(one.degrees_of_freedom for one in known)
    samples = crossed(np.stack(units), groups, freedom).samples(n_samples, seed)
    shares = on_front(np.array([costs[key] for key in keys]), samples).mean(axis=0)
    return dict(zip(keys, (float(share) for share in shares), strict=True))

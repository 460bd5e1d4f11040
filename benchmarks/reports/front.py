"""Which results are on the Pareto front of error and cost, and how surely."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mfbench.mfcore.metrics.comparison import compare_arms
from mfbench.mfcore.metrics.intervals import Array, Runs

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
    errors: Mapping[Key, Runs], costs: Mapping[Key, float], *, n_samples: int = 4000, seed: int = 0
) -> dict[Key, float]:
    """Give each point's probability of being on the front, from the spread of its errors over draws.

    The mean log errors are sampled from their joint t distribution (`mfbench.mfcore.metrics.comparison.compare_arms`):
    two or three draws are too few to be resampled. What is common to all points, such as an easy draw, cancels. Costs
    are taken as known.

    Parameters
    ----------
    errors
        By point, the error (positive) of each finished run by (draw, seed).
    costs
        By point.
    n_samples, seed
        Number of samples, and the seed of their generator.

    Returns
    -------
    dict
        NaN for all where no (draw, seed) is common to all points or there are no repeats.
    """
    keys = list(errors)
    unknown = dict.fromkeys(keys, float("nan"))
    if len(keys) < 2:
        return dict.fromkeys(keys, 1.0)
    try:
        comparison = compare_arms({str(index): errors[key] for index, key in enumerate(keys)})
    except ValueError:
        return unknown
    df = comparison.degrees_of_freedom
    if df <= 0:
        return unknown
    generator = np.random.default_rng(seed)
    variances, axes = np.linalg.eigh(comparison.covariance)
    normal = generator.standard_normal((n_samples, len(keys))) * np.sqrt(np.maximum(variances, 0.0))
    samples = comparison.centre + (normal @ axes.T) / np.sqrt(generator.chisquare(df, n_samples) / df)[:, None]
    shares = on_front(np.array([costs[key] for key in keys]), samples).mean(axis=0)
    return dict(zip(keys, (float(share) for share in shares), strict=True))

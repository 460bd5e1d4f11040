"""Softening of a potential: the slope of its forces on the true ones (Deng et al., npj Comput. Mater. 2025, 11, 9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfbench.mfcore.errors import DataError

RESAMPLES = 1000


def slope_parts(predicted: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Sums that slopes are made of, (B, 2): of predicted times true, and of squared true components.

    Parameters
    ----------
    predicted, reference
        Forces of B frames, (n_i, 3) eV/Å each; NaN in a reference: no such label.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    if len(predicted) != len(reference):
        raise ValueError(f"forces: {len(predicted)} predicted frames for {len(reference)} reference frames.")
    parts = np.zeros((len(reference), 2))
    for place, (found, true) in enumerate(zip(predicted, reference, strict=True)):
        one, other = np.asarray(found, dtype=np.float64), np.asarray(true, dtype=np.float64)
        if one.shape != other.shape:
            raise ValueError(f"forces of frame {place}: shapes {one.shape} and {other.shape}.")
        known = ~np.isnan(other)
        parts[place] = one[known] @ other[known], other[known] @ other[known]
    return parts


def force_slope(predicted: Sequence[ArrayLike], reference: Sequence[ArrayLike]) -> float:
    """Slope of predicted on true force components, through the origin: below one, a potential is too soft.

    Least squares give Σ f_pred f_true / Σ f_true²; forces have no mean that an intercept could be for. Arguments as of
    :func:`slope_parts`.

    Raises
    ------
    DataError
        If no true force differs from zero.
    """
    product, square = slope_parts(predicted, reference).sum(axis=0)
    if not square > 0:
        raise DataError("no frame has reference forces other than zero, so there is no slope.")
    return float(product / square)


def slope_interval(
    predicted: Sequence[ArrayLike], reference: Sequence[ArrayLike], level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of the slope over frames; both ends are the slope where there is one frame."""
    parts = slope_parts(predicted, reference)
    drawn = np.random.default_rng(seed).integers(len(parts), size=(RESAMPLES, len(parts)))
    sums = parts[drawn].sum(axis=1)
    slopes = sums[:, 0] / np.maximum(sums[:, 1], 1e-300)
    low, high = np.quantile(slopes, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

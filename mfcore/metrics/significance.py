"""Tests of paired differences, and the correction for testing several arms."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Key = TypeVar("Key", bound=Hashable)

EXACT_LIMIT = 2**14
"""Sign patterns up to which a permutation test enumerates all of them (14 differences)."""


def t_test(differences: ArrayLike) -> float:
    """Two-sided p of "the mean difference is zero" by Student's t; NaN for fewer than two differences."""
    values = _checked(differences)
    if len(values) < 2:
        return float("nan")
    largest = float(np.abs(values).max())
    if np.ptp(values) <= 1e-12 * largest:  # no spread but rounding: there is nothing to divide by
        return 0.0 if largest > 0.0 else 1.0
    ratio = float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))
    return 2.0 * float(special.stdtr(len(values) - 1, -abs(ratio)))


def sign_flip_test(differences: ArrayLike, *, n_resamples: int = EXACT_LIMIT, seed: int = 0) -> float:
    """Two-sided p of "each difference is as likely to have the other sign", from its mean.

    Enumerates all 2^n sign patterns if they are at most `n_resamples`, else samples that many. The differences
    must be independent units (draw means, not the runs of one draw); the smallest p there is is 2^(1-n), so
    that fewer than six units can never pass 0.05.

    Parameters
    ----------
    differences
        Paired differences, shape (n,).
    n_resamples, seed
        How many patterns to sample where there are too many, and the generator's seed.

    Raises
    ------
    ValueError
        If there is no difference or one is not finite.
    """
    values = _checked(differences)

    def mean_difference(first: NDArray[np.float64], second: NDArray[np.float64], axis: int) -> ArrayLike:
        return np.asarray((first - second).mean(axis=axis))

    if len(values) < 2:  # scipy asks for two; one flipped sign has the same magnitude
        return 1.0
    result = stats.permutation_test(
        (values, np.zeros_like(values)),
        mean_difference,
        permutation_type="samples",
        n_resamples=n_resamples,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def wilcoxon_test(differences: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; zeros are ranked and split between the signs.

    Parameters
    ----------
    differences
        Paired differences of independent units, shape (n,).
    seed
        Used only where ties rule out the exact distribution and n is too large to enumerate.

    Raises
    ------
    ValueError
        If there is no difference or one is not finite.
    """
    values = _checked(differences)
    if not values.any():
        return 1.0
    magnitudes = np.abs(values)
    if len(np.unique(magnitudes)) == len(values) and magnitudes.all():
        return float(stats.wilcoxon(values, method="exact" if len(values) <= 50 else "asymptotic").pvalue)
    method = stats.PermutationMethod(n_resamples=EXACT_LIMIT, rng=np.random.default_rng(seed))
    return float(stats.wilcoxon(values, zero_method="zsplit", method=method).pvalue)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down adjustment of p values: the chance of any false rejection stays at the level.

    Parameters
    ----------
    p_values
        p of each hypothesis of the family. NaN (a test that could not be made) is not part of the family and
        stays NaN.

    Returns
    -------
    dict
        Adjusted p values, in the order given.

    References
    ----------
    S. Holm, Scand. J. Statist. 6, 65 (1979).
    """
    family = sorted((p, index) for index, p in enumerate(p_values.values()) if not np.isnan(p))
    adjusted = [float("nan")] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(family):
        largest = max(largest, min(1.0, (len(family) - rank) * p))
        adjusted[index] = largest
    return dict(zip(p_values, adjusted, strict=True))


def _checked(differences: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("differences: expected a one-dimensional array of at least one finite number.")
    return values

"""The slope of predicted on true forces: analytic answers, labels that are missing, and an interval that covers."""

from __future__ import annotations

import numpy as np
import pytest

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.metrics.softening import force_slope, slope_interval


def forces(n_frames: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(5, 3)) for _ in range(n_frames)]


def test_forces_that_are_proportional_have_their_factor_as_slope() -> None:
    true = forces(4, 0)
    assert force_slope([0.61 * f for f in true], true) == pytest.approx(0.61, rel=1e-12)
    assert slope_interval([0.61 * f for f in true], true) == pytest.approx((0.61, 0.61), rel=1e-12)


def test_large_forces_weigh_by_their_square() -> None:
    true = [np.array([[1.0, 0.0, 0.0]]), np.array([[3.0, 0.0, 0.0]])]
    assert force_slope([true[0], 0.5 * true[1]], true) == pytest.approx((1 + 0.5 * 9) / 10)


def test_components_without_a_label_are_left_out() -> None:
    true = [np.array([[1.0, np.nan, 2.0]])]
    assert force_slope([np.array([[2.0, 5.0, 4.0]])], true) == pytest.approx(2.0)
    with pytest.raises(DataError, match="no slope"):
        force_slope([np.ones((1, 3))], [np.full((1, 3), np.nan)])
    with pytest.raises(ValueError, match="shapes"):
        force_slope([np.ones((1, 3))], [np.ones((2, 3))])


def test_the_interval_covers_the_slope_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        true, rng = forces(12, seed), np.random.default_rng(1000 + seed)
        found = [0.8 * f + rng.normal(scale=0.5, size=f.shape) for f in true]
        low, high = slope_interval(found, true, seed=seed)
        covered += low <= 0.8 <= high
    assert 0.86 <= covered / 200 <= 0.98

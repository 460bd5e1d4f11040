"""The hierarchical bootstrap in the limits where its answer is known."""

import numpy as np
import pytest
from scipy import stats

from mfbench.mfcore.metrics.bootstrap import hierarchical_interval, hierarchical_ratio_interval
from mfbench.mfcore.metrics.intervals import mean_interval


def test_alike_blocks_leave_students_interval_over_draws():
    table = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    runs = {(d, s): float(table[d, s]) for d in range(2) for s in range(3)}
    expected = mean_interval(runs)
    found = hierarchical_interval(np.repeat(table[:, :, None], 10, axis=2), n_resamples=20_000)
    assert (found.estimate, found.over, found.n_runs) == (3.0, "draws", 6)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=2e-3)


def test_one_run_leaves_the_blocks():
    """Many blocks: the studentised bootstrap tends to mean ± 1.96 standard errors."""
    values = np.random.default_rng(0).normal(10.0, 1.0, (1, 1, 400))
    found = hierarchical_interval(values, n_resamples=20_000)
    assert found.half_width == pytest.approx(1.96 * stats.sem(values.ravel()), rel=0.03)
    assert found.over == "none"


def test_skewed_blocks_give_a_longer_upper_arm():
    values = np.exp(stats.norm.ppf((np.arange(20) + 0.5) / 20)).reshape(1, 1, 20)
    found = hierarchical_interval(values)
    assert found.high - found.estimate > 1.3 * (found.estimate - found.low)


def test_weights_are_those_of_the_mean():
    found = hierarchical_interval([[[1.0, 4.0]]], weights=[3, 1])
    assert found.estimate == pytest.approx(1.75)


def test_one_run_of_one_block_has_no_interval():
    found = hierarchical_interval([[[2.0]]])
    assert found.estimate == 2.0
    assert np.isnan(found.low)


def test_pairing_by_block_cancels_hard_structures():
    """Blocks differ a hundredfold, the arms by a factor of two in each."""
    blocks = np.geomspace(1.0, 100.0, 12) * np.ones((2, 3, 1))
    found = hierarchical_ratio_interval(2.0 * blocks, blocks)
    assert (found.estimate, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert hierarchical_interval(blocks).half_width > 1.0


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).normal(10.0, 1.0, (3, 2, 8))
    assert hierarchical_interval(values, seed=5) == hierarchical_interval(values, seed=5)


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        (np.ones((2, 3)), None, "shape"),
        (np.full((1, 1, 2), np.nan), None, "finite"),
        (np.ones((1, 1, 2)), [1.0, 0.0], "weights"),
        (np.ones((1, 1, 2)), [1.0], "weights"),
    ],
)
def test_bad_values_are_refused(values, weights, message):
    with pytest.raises(ValueError, match=message):
        hierarchical_interval(values, weights)


def test_a_ratio_needs_positive_errors_of_one_shape():
    with pytest.raises(ValueError, match="one shape"):
        hierarchical_ratio_interval(np.ones((1, 1, 2)), np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="positive"):
        hierarchical_ratio_interval(np.ones((1, 1, 2)), np.zeros((1, 1, 2)))

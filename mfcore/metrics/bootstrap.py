"""Intervals over runs and over test structures at once: a hierarchical bootstrap that holds for few runs.

The error of a run is a mean over blocks of test structures (molecules, trajectory blocks), the same blocks in
every run. Two things are random: the runs (draws, seeds within draws), which are few, and the blocks, which
are more but have skewed errors. Resampling two or three draws cannot work: the resamples contain no more than
those two or three values, and a percentile interval from them covers 50-90 % instead of 95 %. So the levels are
resampled each in the way that suits it, and their deviations added:

- runs: parametric, Student's t on the draw means (see `intervals`);
- blocks: studentised bootstrap, which follows the skewness of block errors.

Adding the two as they are (the Behrens-Fisher solution) covers too much where runs matter little, and
Welch's approximation too little where they matter much. The t's degrees of freedom are therefore
(draws - 1) / λ^(1/4), with λ the runs' share in the variance: exact at λ = 1, and 93-97 %
in simulations between (2 to 5 draws, 10 to 20 blocks); the power is chosen for that.

Where test blocks differ from draw to draw they are part of the draw: use `intervals.mean_interval`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from mfbench.mfcore.metrics.intervals import Array, Interval, standard_error, unit_means

FEWEST_BLOCKS = 5
"""Below this, resampled blocks are all alike too often; Student's t takes the bootstrap's place."""

SHARE_POWER = 0.25
"""Exponent of the runs' share in the variance in their degrees of freedom; see the module's text."""


def hierarchical_interval(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of a mean error over runs and structure blocks.

    For the paired difference of two arms, give `first - second`: the pairing is by run and block.

    Parameters
    ----------
    values
        Mean error of each block in each run, shape (draws, seeds, blocks); all finite.
    weights
        Weight of each block in the mean (its number of frames, atoms or components), shape (blocks,);
        default equal.
    level
        Confidence level.
    n_resamples, seed
        Size of the bootstrap and the seed of its generator.

    Returns
    -------
    Interval
        Its bounds are finite if there are at least two blocks or two runs; where there is one run or one block,
        that level is taken as fixed.

    Raises
    ------
    ValueError
        If a shape is wrong, a value is not finite, or a weight is not positive.
    """
    table, share = _checked(values, weights)
    run_means = table @ share
    # Share of each block in the mean: its variance over the blocks is that of the weighted mean.
    blocks = len(share) * share * (table.mean(axis=(0, 1)) - float(run_means.mean()))
    return _interval(run_means, blocks, level, n_resamples, seed)


def hierarchical_ratio_interval(
    first: ArrayLike,
    second: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of the ratio of two arms' mean errors, paired by run and by structure block.

    Parameters
    ----------
    first, second
        Mean error of each block in each run, shape (draws, seeds, blocks); each run's mean must be positive.
    weights, level, n_resamples, seed
        As in `hierarchical_interval`.
    """
    (top, share), (bottom, _) = _checked(first, weights), _checked(second, weights)
    if top.shape != bottom.shape:
        raise ValueError(f"first and second: expected one shape, got {top.shape} and {bottom.shape}.")
    means = top @ share, bottom @ share
    if not all((m > 0.0).all() for m in means):
        raise ValueError("a ratio needs a positive mean error in every run.")
    relative = [table.mean(axis=(0, 1)) / mean.mean() for table, mean in zip((top, bottom), means, strict=True)]
    blocks = len(share) * share * (relative[0] - relative[1])
    logs = _interval(np.log(means[0]) - np.log(means[1]), blocks, level, n_resamples, seed)
    with np.errstate(over="ignore"):
        middle, low, high = float(np.exp(logs.estimate)), float(np.exp(logs.low)), float(np.exp(logs.high))
    return Interval(middle, low, high, level, logs.n_runs, logs.n_units, logs.over)


def _interval(run_means: Array, blocks: Array, level: float, n_resamples: int, seed: int) -> Interval:
    """Combine run means (draws, seeds) with the blocks' contributions (blocks,), whose mean is zero."""
    n_draws, n_seeds = run_means.shape
    runs = {(d, s): float(run_means[d, s]) for d in range(n_draws) for s in range(n_seeds)}
    means, over = unit_means(runs)
    generator = np.random.default_rng(seed)
    estimate = float(means.mean())
    if len(means) < 2 and len(blocks) < 2:
        nan = float("nan")
        return Interval(estimate, nan, nan, level, len(runs), len(means), over)
    deviation = np.zeros(n_resamples)
    if len(means) > 1:
        # Quantiles at fixed probabilities instead of random ones: heavy tails (t with one degree of freedom)
        # would make the bounds depend on the generator.
        grid = generator.permutation((np.arange(n_resamples) + 0.5) / n_resamples)
        error = standard_error(means)
        total = error**2 + (standard_error(blocks) ** 2 if len(blocks) > 1 else 0.0)
        if total > 0.0 and error > 0.0:
            freedom = (len(means) - 1) / (error**2 / total) ** SHARE_POWER
            deviation += error * np.asarray(special.stdtrit(freedom, grid))
    if len(blocks) > 1:
        deviation += _block_deviation(blocks, generator, n_resamples)
    low, high = np.quantile(estimate - deviation, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(estimate, float(low), float(high), level, len(runs), len(means), over)


def _block_deviation(blocks: Array, generator: np.random.Generator, n_resamples: int) -> Array:
    n = len(blocks)
    error = standard_error(blocks)
    if n < FEWEST_BLOCKS:
        return error * generator.standard_t(n - 1, n_resamples)
    sample = (blocks - blocks.mean())[generator.integers(0, n, (n_resamples, n))]
    errors = sample.std(axis=1, ddof=1) / np.sqrt(n)
    # A resample of one block n times has no spread and no pivot (n^(1-n) of them); any finite value does.
    smallest = np.finfo(np.float64).tiny
    pivots = np.divide(sample.mean(axis=1), errors, out=np.zeros_like(errors), where=errors > smallest)
    return np.asarray(error * pivots, dtype=np.float64)


def _checked(values: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 3 or not table.size:
        raise ValueError(f"values: expected shape (draws, seeds, blocks), got {table.shape}.")
    if not np.isfinite(table).all():
        raise ValueError("values: expected finite numbers; a failed run is counted, not averaged.")
    share = np.ones(table.shape[2]) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (table.shape[2],) or not (share > 0.0).all():
        raise ValueError(f"weights: expected {table.shape[2]} positive numbers, one a block.")
    return table, share / share.sum()

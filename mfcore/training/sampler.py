"""The order in which frames are seen; a pure function of seed and epoch, so that a resumed run needs no state."""

from __future__ import annotations

import numpy as np


def epoch_order(high: np.ndarray, low: np.ndarray, high_share: float, seed: int, epoch: int) -> np.ndarray:
    """Frame indices of one epoch, shuffled.

    Every LF frame comes once. HF frames come once, or as often as it takes to make up `high_share` of the
    epoch: with 25 HF frames among 2,000 LF ones, most steps would otherwise see none.

    Parameters
    ----------
    high, low
        Indices of HF and LF frames.
    high_share
        Least share of HF frames, 0 ≤ share < 1; without effect where there is only one of the two kinds.
    seed, epoch
        What the order depends on.
    """
    rng = np.random.default_rng([seed, epoch])
    wanted = len(high)
    if len(high) and len(low):
        wanted = max(wanted, round(high_share / (1 - high_share) * len(low)))
    repeated = [rng.permutation(high) for _ in range(-(-wanted // len(high)))] if len(high) else []
    chosen = np.concatenate(repeated)[:wanted] if repeated else high
    return rng.permutation(np.concatenate([chosen, low]).astype(np.int64))

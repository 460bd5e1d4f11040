"""Order and batches of frames: pure functions of seed and epoch, so that a resumed run needs no state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def epoch_order(high: np.ndarray, low: np.ndarray, high_fidelity_fraction: float, seed: int, epoch: int) -> np.ndarray:
    """Frame indices of one epoch, shuffled.

    Every LF frame comes once. HF frames come once, or as often as it takes to make up `high_fidelity_fraction` of the
    epoch: with 25 HF frames among 2,000 LF ones, most steps would otherwise see none. Each fidelity is spread evenly
    over the epoch, so that batches of few frames have HF ones as often as can be.

    Parameters
    ----------
    high, low
        Indices of HF and LF frames.
    high_fidelity_fraction
        Least share of HF frames, 0 ≤ share < 1; without effect where there is only one of the two kinds.
    seed, epoch
        What the order depends on.
    """
    rng = np.random.default_rng([seed, epoch])
    wanted = len(high)
    if len(high) and len(low):
        wanted = max(wanted, round(high_fidelity_fraction / (1 - high_fidelity_fraction) * len(low)))
    repeated = [rng.permutation(high) for _ in range(-(-wanted // len(high)))] if len(high) else []
    chosen = np.concatenate(repeated)[:wanted] if repeated else high
    frames = np.concatenate([chosen, rng.permutation(low)]).astype(np.int64)
    places = [(np.arange(n) + rng.random(n)) / max(1, n) for n in (len(chosen), len(low))]
    return frames[np.argsort(np.concatenate(places), kind="stable")]


def batch_ends(order: np.ndarray, frames: int | None, limits: Sequence[tuple[np.ndarray, int | None]]) -> np.ndarray:
    """Where the batches of an epoch end, in the order of its frames.

    Parameters
    ----------
    order
        Frame indices of the epoch.
    frames
        Frames per batch; None packs them by `limits`.
    limits
        Pairs of a size of each frame (atoms, edges) and the most of it that a batch may have, or None. A frame that
        is larger makes a batch alone.

    Returns
    -------
    ndarray
        Ascending ends; a batch is ``order[end_before:end]``.
    """
    if frames is not None:
        return np.minimum(np.arange(frames, len(order) + frames, frames), len(order))
    sums = [(np.concatenate([[0], np.cumsum(size[order])]), most) for size, most in limits if most is not None]
    # where a batch would end that begins at each place
    ends = np.full(len(order), len(order))
    for total, most in sums:
        ends = np.minimum(ends, np.searchsorted(total, total[:-1] + most, side="right") - 1)
    ends = np.maximum(ends, np.arange(1, len(order) + 1))
    made, place = [], 0
    while place < len(order):
        place = int(ends[place])
        made.append(place)
    return np.array(made, dtype=np.int64)

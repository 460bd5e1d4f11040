"""Frames of one trajectory: neighbours in the file are neighbours in space, so that whole blocks must be held out.

The geometry of frame i is a vector g(i) of reduced interatomic distances (see :mod:`mfbench.mfcore.data.leakage`), and
its autocorrelation over l frames is C(l) = 1 - <|g(i + l) - g(i)|²> / (2 <|g - <g>|²>): about 0 in any other
order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mfbench.mfcore.data.leakage import shape_vectors

FloatArray = NDArray[np.float64]

#: C(1) beyond which frames are a time series, and how many standard errors it has to be from 0.
CORRELATED, _ERRORS = 0.3, 3.0
#: Beginning of the name of a group that is a block.
BLOCK = "block of "
#: Frames that such a judgement is made of.
LEAST_FRAMES = 8
_LEAST_BLOCKS = 6  # of a series that is short: a test, a validation, and something to train on
_BLOCK = 2.0  # correlation times


@dataclass(frozen=True)
class Series:
    """Frames in the order of time.

    Attributes
    ----------
    indices
        Of the frames, in their order in the file.
    correlation
        Frames until the autocorrelation has fallen to 1/e.
    block
        Frames of a block.
    """

    indices: tuple[int, ...]
    correlation: float
    block: int

    def blocks(self) -> list[tuple[int, ...]]:
        """Return the indices of the frames of each block; the last one takes what is left over."""
        n = max(1, len(self.indices) // self.block)
        cuts = [i * self.block for i in range(n)] + [len(self.indices)]
        return [self.indices[a:b] for a, b in pairwise(cuts)]


def autocorrelation(vectors: FloatArray, longest: int) -> FloatArray:
    """Return C(1) ... C(longest) of vectors (n, k) in the order of time; 0 if they do not vary."""
    centred = vectors - vectors.mean(axis=0)
    variance = float((centred**2).sum(axis=1).mean())
    if variance == 0.0:
        return np.zeros(longest)
    apart = [((centred[lag:] - centred[:-lag]) ** 2).sum(axis=1).mean() for lag in range(1, longest + 1)]
    return 1.0 - np.array(apart) / (2 * variance)


def find_series(frames: Sequence[Atoms], block: int | None = None) -> list[Series]:
    """Find time series among frames: those of one composition and order of atoms, in the order of the file.

    Parameters
    ----------
    frames
        In the order of the file.
    block
        Frames of a block; None takes two correlation times, but leaves at least six blocks.
    """
    by_kind: dict[tuple[bytes, bytes], list[int]] = defaultdict(list)
    for index, atoms in enumerate(frames):
        if len(atoms) > 1:
            by_kind[atoms.numbers.astype(np.int64).tobytes(), atoms.pbc.tobytes()].append(index)
    found = []
    for indices in by_kind.values():
        n = len(indices)
        if n < LEAST_FRAMES:
            continue
        correlation = autocorrelation(shape_vectors(frames, indices), n // 2)
        if correlation[0] <= max(CORRELATED, _ERRORS / np.sqrt(n)):
            continue
        below = np.flatnonzero(correlation < np.exp(-1.0))
        time = float(below[0] + 1 if len(below) else n // 2)
        size = block or max(2, min(int(np.ceil(_BLOCK * time)), n // _LEAST_BLOCKS))
        found.append(Series(tuple(indices), time, size))
    return found


def block_groups(
    frames: Sequence[Atoms],
    block: int | None = None,
    find: Callable[[Sequence[Atoms], int | None], list[Series]] = find_series,
) -> tuple[list[Series], list[str]]:
    """Put the blocks of time series into groups, in place, where each frame is a group by itself; say so.

    Parameters
    ----------
    block
        Frames of a block; 1 leaves frames as they are, None lets the data say.
    find
        Finds the series, for a caller who knows them.

    Returns
    -------
    series, notes
        Series that were cut, and sentences about them.
    """
    if block == 1:
        return [], []
    alone = [i for i, a in enumerate(frames) if a.info["group"] == a.info["structure_id"]]
    chosen = [frames[i] for i in alone]
    series, notes = [], []
    for found in find(chosen, block):
        parts = found.blocks()
        for part in parts:
            for k in part:
                chosen[k].info["group"] = f"{BLOCK}{chosen[part[0]].info['structure_id']}"
        sizes = " to ".join(map(str, sorted({min(map(len, parts)), max(map(len, parts))})))
        first, last = (chosen[found.indices[k]].info["structure_id"] for k in (0, -1))
        series.append(Series(tuple(alone[k] for k in found.indices), found.correlation, found.block))
        notes.append(
            f"{len(found.indices)} frames from '{first}' to '{last}' are a time series (neighbours in the file are "
            f"neighbours in space, correlated over {found.correlation:.0f} frames): groups are {len(parts)} blocks of "
            f"{sizes} frames (--block N takes N, --block 1 none, --group-key KEY the values of a key)"
        )
    return series, notes

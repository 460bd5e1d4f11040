"""Edges by spline interval, in parts of bounded size: who sums gradients of the radial table without atomics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

#: Edges of a part: one warp goes through them one after another. In large batches more, to bound the memory of the
#: sums, which are four rows of the table for each part.
EDGES_OF_A_PART = 32
_ENOUGH_PARTS = 8192


@dataclass(frozen=True)
class Intervals:
    """Parts of the edges; all edges of one part have the same spline interval.

    There are as many parts as there could be, E // most + n, with n the number of intervals: how many are needed
    is known only on the device, and to ask would make the host wait. Those that are not needed are empty.

    Attributes
    ----------
    order
        (E,) int64, edges by interval.
    first, last
        (parts,) int64: the edges of part p are order[first[p]] … order[last[p] - 1].
    start
        (n + 1,) int64: the parts of interval k are start[k] … start[k + 1] - 1.
    """

    order: Tensor
    first: Tensor
    last: Tensor
    start: Tensor

    @property
    def n_parts(self) -> int:
        """Number of parts."""
        return int(self.first.shape[0])


def divide(knot: Tensor, n_intervals: int, most: int | None = None) -> Intervals:
    """Parts of at most so many edges.

    Parameters
    ----------
    knot
        (E,) int32, interval of each edge.
    n_intervals
        Number of intervals.
    most
        Most edges of a part; by default :data:`EDGES_OF_A_PART`, or what gives a bounded number of parts.
    """
    most = most or max(EDGES_OF_A_PART, knot.shape[0] // _ENOUGH_PARTS)
    device = knot.device
    ascending, order = torch.sort(knot, stable=True)
    bounds = torch.searchsorted(ascending, torch.arange(n_intervals + 1, device=device, dtype=knot.dtype))
    needed = (bounds.diff() + (most - 1)) // most
    start = torch.nn.functional.pad(needed.cumsum(0), (1, 0))
    part = torch.arange(knot.shape[0] // most + n_intervals, device=device)
    interval = torch.searchsorted(start[1:], part, right=True)
    used = interval < n_intervals
    interval = interval.clamp(max=n_intervals - 1)
    first = bounds[interval] + (part - start[interval]) * most
    last = torch.minimum(first + most, bounds[interval + 1])
    zero = torch.zeros_like(first)
    return Intervals(order, torch.where(used, first, zero), torch.where(used, last, zero), start)


#: All convolutions of a batch have the same intervals, which are a tensor that lives as long as the batch's geometry.
_known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def intervals(knot: Tensor, n_intervals: int) -> Intervals:
    """As :func:`divide`, kept for as long as the tensor lives."""
    found: tuple[tuple[int, int], Intervals] | None = _known.get(knot)
    key = (n_intervals, -1 if knot.is_inference() else knot._version)
    if found is None or found[0] != key:
        found = (key, divide(knot, n_intervals))
        _known[knot] = found
    return found[1]

"""Tables of radial networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from torch import Tensor

from mfbench.mfcore.ops.radial.autograd import tables_at_once
from mfbench.mfcore.ops.radial.reference import table_parts
from mfbench.mfcore.ops.tracing import traced


def tables(basis: Tensor, matrix: Tensor, weights: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Control points of splines that interpolate networks; differentiable any number of times.

    Parameters
    ----------
    basis
        (n_knots + 1, n_bessel) at the knots.
    matrix
        (n_knots + 3, n_knots + 1) from values at the knots to control points.
    weights
        Matrices of each network, all of the same hidden widths; SiLU stands between them.

    Returns
    -------
    tuple of Tensor
        (n_knots + 3, n_weights) of each network.
    """
    if traced():
        return tuple(table_parts(basis, matrix, weights)[0])
    return tables_at_once(basis, matrix, len(weights), list(chain.from_iterable(weights)))

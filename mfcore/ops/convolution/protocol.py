"""Kernels of a convolution: to be written against, with every shape.

In all of this N is the number of atoms and E of edges, K = (lmax + 1)² the number of harmonics, W the number of
radial weights of an edge (``paths.n_weights``), and Q = n_knots + 3 the number of control points of the radial table.
Features and their gradients are one tensor (N, 2l+1, channels) per irrep of ``paths.input``; outputs and their
cotangents one (N, 2l+1, channels) per irrep of ``paths.output_layout``. All tensors are contiguous, of one device,
and of one dtype, but for the int64 of the edges and the int32 of the intervals.

Kernels write their results into tensors that the caller has allocated and not cleared: every element has to be
written, also those of atoms without edges. They may be given N = 0 or E = 0, distances beyond the cutoff (spline
weights of zero) and NaN, which has to reach the receivers of that edge and no other atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from mfbench.mfcore.ops.edges import Edges


class EdgeInputs(NamedTuple):
    """The inputs that every kernel reads.

    Attributes
    ----------
    knot
        (E,) int32, spline interval: 0 … Q - 4.
    harmonics
        (E, K), called Y below.
    spline
        (E, 4): B-spline weights times the cutoff envelope, called c below.
    table
        (Q, W): control points of the radial weights, called t below.
    """

    knot: Tensor
    harmonics: Tensor
    spline: Tensor
    table: Tensor


class ConvolutionKernels(Protocol):
    """One set of paths in one dtype.

    With x the features, CG the coefficients of a path (``paths.coefficients``) and u a channel, the convolution is ::

        w[e, q, u]         = Σ_r c[e, r] t[knot[e] + r, offset(q) + u]
        out[i, m3, (q, u)] = Σ_{e into i} w[e, q, u] Σ_{m1 m2} CG[m1, m2, m3] Y[e, l2² + m2] x[sender[e], m1, u]

    where offset is ``paths.weight_offsets``, and the channels (q, u) of an output irrep are those of the paths that
    lead to it, ``paths.paths_into``, one path after another. Not divided by the number of neighbours. The sum
    S = Σ out · g over everything, with g the cotangents, is multilinear in (Y, c, t, x, g); the other kernels are its
    derivatives. Results should repeat bit for bit for the same inputs.
    """

    def forward(self, edges: Edges, inputs: EdgeInputs, features: Sequence[Tensor], out: Sequence[Tensor], /) -> None:
        """Write the convolution to `out`."""

    def backward_geometry(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor] | None,
        for_harmonics: Tensor,
        for_spline: Tensor,
        /,
    ) -> None:
        """Gradients of a force pass: ∂S/∂x, ∂S/∂Y (E, K) and ∂S/∂c (E, 4); ∂S/∂x only if there is a place for it."""

    def backward_parameters(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor] | None,
        for_table: Tensor,
        /,
    ) -> None:
        """Gradients of a parameter pass: ∂S/∂x and ∂S/∂t (Q, W); ∂S/∂x only if there is a place for it."""

    def double_backward(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        along_features: Sequence[Tensor],
        along_harmonics: Tensor,
        along_spline: Tensor,
        for_cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor],
        for_table: Tensor,
        /,
    ) -> None:
        """The parameter pass through a force pass.

        With directions z (`along_features`, as x), b (`along_harmonics`, (E, K)) and a (`along_spline`, (E, 4)), and
        D = z · ∂S/∂x + b · ∂S/∂Y + a · ∂S/∂c: write ∂D/∂g, ∂D/∂x (from b and a only: S is linear in x) and
        ∂D/∂t (Q, W).
        """

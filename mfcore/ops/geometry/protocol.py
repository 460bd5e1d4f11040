"""Edges with what convolutions need of them, and kernels that make it.

N, E, K and Q are those of :mod:`mfbench.mfcore.ops.convolution.protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.radial.functions import RadialSettings


@dataclass(frozen=True)
class EdgeGeometry:
    """Edges of a batch, sorted by receiver, with harmonics and radial inputs.

    Attributes
    ----------
    edges
        Which atoms they join.
    lmax
        Highest degree of the harmonics.
    settings
        Radial settings that it was made for.
    vectors
        (E, 3) r_sender - r_receiver, Å.
    harmonics
        (E, (lmax + 1)²) real spherical harmonics in e3nn's order and component normalisation.
    knot, spline
        Table mode: spline interval (E,) int32, and weights of its four control points times the envelope (E, 4).
    basis, envelope
        Exact mode: Bessel functions (E, n_bessel) and envelope (E,).
    """

    edges: Edges
    lmax: int
    settings: RadialSettings
    vectors: Tensor
    harmonics: Tensor
    knot: Tensor | None = None
    spline: Tensor | None = None
    basis: Tensor | None = None
    envelope: Tensor | None = None

    @property
    def distances(self) -> Tensor:
        """Lengths of the edges, (E,) Å."""
        lengths: Tensor = torch.linalg.vector_norm(self.vectors, dim=1)
        return lengths


class GeometryKernels(Protocol):
    """From edge vectors to harmonics and radial inputs, for one lmax, envelope power p and dtype.

    With r = |v|, n = v / r and x = r / cutoff: Y are the component-normalised real spherical harmonics of n in
    e3nn's order; the interval is floor(x n_knots) clamped to 0 … n_knots - 1 (any of these for NaN); c are the four
    cubic B-splines of that interval at x n_knots times the polynomial envelope of power p, which is 0 for x >= 1, and
    NaN for NaN.
    """

    def forward(
        self, vectors: Tensor, cutoff: float, n_knots: int, harmonics: Tensor, knot: Tensor, spline: Tensor, /
    ) -> None:
        """Of vectors (E, 3): write Y (E, K), the interval (E,) int32 and c (E, 4)."""

    def backward(
        self,
        vectors: Tensor,
        cutoff: float,
        n_knots: int,
        for_harmonics: Tensor,
        for_spline: Tensor,
        for_vectors: Tensor,
        /,
    ) -> None:
        """Vector–Jacobian product: write Σ for_harmonics ∂Y/∂v + Σ for_spline ∂c/∂v, (E, 3), to `for_vectors`."""

    def tangent(
        self,
        vectors: Tensor,
        cutoff: float,
        n_knots: int,
        along_vectors: Tensor,
        along_harmonics: Tensor,
        along_spline: Tensor,
        /,
    ) -> None:
        """Jacobian–vector product: write ∂Y/∂v · along_vectors (E, K) and ∂c/∂v · along_vectors (E, 4)."""

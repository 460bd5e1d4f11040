"""From edge vectors to what convolutions need of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mfbench.mfcore.backends.select import Backend, check_backend, kernels_of_geometry
from mfbench.mfcore.ops.geometry.autograd import fused_geometry
from mfbench.mfcore.ops.geometry.reference import reference_harmonics, reference_spline
from mfbench.mfcore.ops.protocols import Edges
from mfbench.mfcore.ops.radial.op import RadialSettings, bessel, envelope


@dataclass(frozen=True)
class EdgeGeometry:
    """Edges of a batch, sorted by receiver, with harmonics and radial inputs.

    Attributes
    ----------
    sender, receiver
        (E,) int64; `receiver` ascends.
    row_pointer
        (n_atoms + 1,) int64: the edges into atom i are row_pointer[i] … row_pointer[i + 1] - 1.
    n_atoms
        Number of atoms.
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

    sender: Tensor
    receiver: Tensor
    row_pointer: Tensor
    n_atoms: int
    lmax: int
    settings: RadialSettings
    vectors: Tensor
    harmonics: Tensor
    knot: Tensor | None = None
    spline: Tensor | None = None
    basis: Tensor | None = None
    envelope: Tensor | None = None

    @cached_property
    def edges(self) -> Edges:
        """Which atoms the edges join; one object for all convolutions."""
        return Edges(self.n_atoms, self.sender, self.receiver, self.row_pointer)

    @property
    def distances(self) -> Tensor:
        """Lengths of the edges, (E,) Å."""
        lengths: Tensor = torch.linalg.vector_norm(self.vectors, dim=1)
        return lengths


def edge_geometry(
    vectors: Tensor,
    sender: Tensor,
    receiver: Tensor,
    row_pointer: Tensor,
    n_atoms: int,
    lmax: int,
    settings: RadialSettings,
    backend: Backend = "auto",
) -> EdgeGeometry:
    """Harmonics and radial inputs of edges, differentiable with respect to the vectors.

    Parameters
    ----------
    vectors
        (E, 3) r_sender - r_receiver + shift, Å; none of zero length.
    sender, receiver, row_pointer
        See :class:`EdgeGeometry`.
    n_atoms
        Number of atoms, those without edges included.
    lmax
        Highest degree of the harmonics.
    settings
        :attr:`RadialNetwork.settings` of the networks that will use it.
    backend
        As of :func:`~mfbench.mfcore.ops.convolution.op.convolve`.

    Raises
    ------
    ConfigError
        If the backend is unknown or cannot be used.
    """
    check_backend(backend)
    table = settings.mode == "table"
    kernels = kernels_of_geometry(lmax, settings.envelope_power, vectors, table, backend)
    if kernels is not None:
        harmonics, knot, spline = fused_geometry(kernels, vectors, lmax, settings)
        shared = (sender, receiver, row_pointer, n_atoms, lmax, settings, vectors, harmonics)
        return EdgeGeometry(*shared, knot=knot, spline=spline)
    harmonics = reference_harmonics(vectors, lmax)
    x = torch.linalg.vector_norm(vectors, dim=1) / settings.cutoff
    shared = (sender, receiver, row_pointer, n_atoms, lmax, settings, vectors, harmonics)
    if not table:
        smooth = envelope(x, settings.envelope_power)
        return EdgeGeometry(*shared, basis=bessel(x, settings.n_bessel), envelope=smooth)
    knot, spline = reference_spline(x, settings.n_knots, settings.envelope_power)
    return EdgeGeometry(*shared, knot=knot, spline=spline)

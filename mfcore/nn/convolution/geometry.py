"""From edge vectors to what convolutions need of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfcore.nn.convolution.backends import Backend, check_backend, kernels_of_geometry
from mfcore.nn.convolution.fused_geometry import fused_geometry
from mfcore.nn.convolution.radial import RadialSettings, bessel, envelope


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
        As of :func:`~mfcore.nn.convolution.convolve.convolve`.

    Raises
    ------
    ConfigError
        If the backend is unknown or cannot be used.
    """
    check_backend(backend)
    table = settings.mode == "table"
    kernels = kernels_of_geometry(lmax, settings.envelope_power, vectors.device, vectors.dtype, table, backend)
    if kernels is not None:
        harmonics, knot, spline = fused_geometry(kernels, vectors, settings.cutoff, settings.n_knots)
        shared = (sender, receiver, row_pointer, n_atoms, lmax, settings, vectors, harmonics)
        return EdgeGeometry(*shared, knot=knot, spline=spline)
    harmonics = reference_harmonics(vectors, lmax)
    x = torch.linalg.vector_norm(vectors, dim=1) / settings.cutoff
    shared = (sender, receiver, row_pointer, n_atoms, lmax, settings, vectors, harmonics)
    smooth = envelope(x, settings.envelope_power)
    if not table:
        return EdgeGeometry(*shared, basis=bessel(x, settings.n_bessel), envelope=smooth)
    knot, spline = reference_spline(x, settings.n_knots)
    return EdgeGeometry(*shared, knot=knot, spline=spline * smooth[:, None])


def reference_harmonics(vectors: Tensor, lmax: int) -> Tensor:
    """Real spherical harmonics of the directions of (E, 3) vectors by e3nn, (E, (lmax + 1)²)."""
    from e3nn import o3

    degrees = list(range(lmax + 1))
    harmonics: Tensor = o3.spherical_harmonics(degrees, vectors, normalize=True, normalization="component")
    return harmonics


def reference_spline(x: Tensor, n_knots: int) -> tuple[Tensor, Tensor]:
    """Interval (E,) int32 and values (E, 4) of the cubic B-splines there, of reduced distances (E,)."""
    scaled = x * n_knots
    with torch.no_grad():
        interval = scaled.nan_to_num(nan=0.0).clamp(0, n_knots - 1).floor()
    u = scaled - interval
    v = 1.0 - u
    weights = (v**3, 4.0 - 3.0 * u * u * (1.0 + v), 4.0 - 3.0 * v * v * (1.0 + u), u**3)
    return interval.to(torch.int32), torch.stack(weights, 1) / 6.0

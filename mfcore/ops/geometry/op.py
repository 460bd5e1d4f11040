"""From edge vectors to what convolutions need of them."""

from __future__ import annotations

import torch
from torch import Tensor

from mfbench.mfcore.backends.select import Backend, Kernels, kernels_for
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.geometry.autograd import geometry_by_kernels
from mfbench.mfcore.ops.geometry.library import geometry_in_graph
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.geometry.reference import reference_harmonics, reference_spline
from mfbench.mfcore.ops.library import has_geometry, name_of
from mfbench.mfcore.ops.radial.functions import RadialSettings, bessel, envelope
from mfbench.mfcore.ops.tracing import traced


def edge_geometry(
    vectors: Tensor,
    edges: Edges,
    lmax: int,
    settings: RadialSettings,
    backend: Backend | Kernels = "auto",
) -> EdgeGeometry:
    """Harmonics and radial inputs of edges, differentiable with respect to the vectors.

    Parameters
    ----------
    vectors
        (E, 3) r_sender - r_receiver + shift, Å; none of zero length.
    edges
        Which atoms they join.
    lmax
        Highest degree of the harmonics.
    settings
        :attr:`~mfbench.mfcore.ops.radial.network.RadialNetwork.settings` of the networks that will use it.
    backend
        As of :func:`~mfbench.mfcore.ops.convolution.op.convolve`.

    Raises
    ------
    ConfigError
        If the backend is unknown or cannot be used.
    """
    table = settings.mode == "table"
    if traced():
        name = name_of(backend)
        if table and has_geometry(name, lmax, settings.envelope_power, vectors.device, vectors.dtype):
            harmonics, knot, spline = geometry_in_graph(vectors, lmax, settings, name)
            return EdgeGeometry(edges, lmax, settings, vectors, harmonics, knot=knot, spline=spline)
    elif (kernels := kernels_for(backend, vectors, table).geometry(lmax, settings.envelope_power)) is not None:
        harmonics, knot, spline = geometry_by_kernels(kernels, vectors, lmax, settings)
        return EdgeGeometry(edges, lmax, settings, vectors, harmonics, knot=knot, spline=spline)
    harmonics = reference_harmonics(vectors, lmax)
    x = torch.linalg.vector_norm(vectors, dim=1) / settings.cutoff
    if not table:
        smooth = envelope(x, settings.envelope_power)
        made = bessel(x, settings.n_bessel)
        return EdgeGeometry(edges, lmax, settings, vectors, harmonics, basis=made, envelope=smooth)
    knot, spline = reference_spline(x, settings.n_knots, settings.envelope_power)
    return EdgeGeometry(edges, lmax, settings, vectors, harmonics, knot=knot, spline=spline)

"""Between atoms and edges: the vectors of edges, and the forces on atoms from the gradients of these vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from mfbench.mfcore.backends.select import Backend, Kernels, kernels_for
from mfbench.mfcore.ops.edge_sums.autograd import differences_by_kernels, sums_by_kernels
from mfbench.mfcore.ops.edge_sums.library import edge_sums_op, edge_vectors_op
from mfbench.mfcore.ops.edge_sums.reference import differences_reference, sums_reference
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.library import has_edges, name_of
from mfbench.mfcore.ops.tracing import traced


def edge_vectors(positions: Tensor, edges: Edges, shift: Tensor, backend: Backend | Kernels = "auto") -> Tensor:
    """r_sender - r_receiver + shift, (E, 3) Å; without derivatives, since forces start from these vectors.

    Parameters
    ----------
    positions
        (A, 3) Å.
    edges
        Which atoms they join.
    shift
        (E, 3) Å.
    backend
        As of :func:`~mfbench.mfcore.ops.convolution.op.convolve`.
    """
    with torch.no_grad():
        if traced():
            if has_edges(name := name_of(backend), positions.device, positions.dtype):
                ends = edges.sender, edges.receiver, edges.row_pointer
                vectors: Tensor = edge_vectors_op(positions, *ends, shift, name)
                return vectors
            return differences_reference(positions, edges, shift)
        kernels = kernels_for(backend, positions).edges
        if kernels is not None:
            return differences_by_kernels(kernels, edges.sender, edges.receiver, positions, shift)
        return differences_reference(positions, edges, shift)


def atom_forces(gradient: Tensor, edges: Edges, backend: Backend | Kernels = "auto") -> Tensor:
    """F_i = Σ_{e into i} g_e - Σ_{e out of i} g_e, (A, 3) eV/Å; differentiable any number of times.

    Parameters
    ----------
    gradient
        g, (E, 3) eV/Å: of the energy with respect to the vectors of the edges.
    edges
        Which atoms they join.
    backend
        As of :func:`~mfbench.mfcore.ops.convolution.op.convolve`.
    """
    if traced():
        if has_edges(name := name_of(backend), gradient.device, gradient.dtype):
            forces: Tensor = edge_sums_op(gradient, edges.sender, edges.receiver, edges.row_pointer, name)
            return forces
        return sums_reference(gradient, edges)
    kernels = kernels_for(backend, gradient).edges
    return sums_reference(gradient, edges) if kernels is None else sums_by_kernels(kernels, edges, gradient)

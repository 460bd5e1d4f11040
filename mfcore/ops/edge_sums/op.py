"""Between atoms and edges: the vectors of edges, and the forces on atoms from the gradients of these vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.select import Backend, edge_kernels
from mfbench.mfcore.ops.protocols import EdgeKernels, Edges


def edge_vectors(positions: Tensor, edges: Edges, shift: Tensor, backend: Backend = "auto") -> Tensor:
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
        kernels = edge_kernels(positions.device, positions.dtype, backend)
        if kernels is not None:
            return _differences(kernels, edges.sender, edges.receiver, positions, shift)
        vectors = positions.index_select(0, edges.sender)
        return vectors.sub_(positions.index_select(0, edges.receiver)).add_(shift)


def atom_forces(gradient: Tensor, edges: Edges, backend: Backend = "auto") -> Tensor:
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
    kernels = edge_kernels(gradient.device, gradient.dtype, backend)
    if kernels is not None:
        made: Tensor = _Sums.apply(kernels, edges, gradient)  # type: ignore[no-untyped-call]
        return made
    force = gradient.new_zeros(edges.n_atoms, 3).index_add(0, edges.receiver, gradient)
    return force.index_add(0, edges.sender, gradient, alpha=-1)


def _differences(
    kernels: EdgeKernels, first: Tensor, second: Tensor, atoms: Tensor, added: Tensor | None = None
) -> Tensor:
    made = atoms.new_empty(first.shape[0], 3)
    kernels.differences(first, second, atoms.contiguous(), None if added is None else added.contiguous(), made)
    return made


class _Sums(torch.autograd.Function):
    """(kernels, edges, g) → forces."""

    @staticmethod
    def forward(ctx: Any, kernels: EdgeKernels, edges: Edges, gradient: Tensor) -> Tensor:
        ctx.kernels, ctx.edges = kernels, edges
        made = gradient.new_empty(edges.n_atoms, 3)
        kernels.sums(edges, gradient.contiguous(), made)
        return made

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _Differences.apply(ctx.kernels, ctx.edges, cotangent)  # type: ignore[no-untyped-call]


class _Differences(torch.autograd.Function):
    """(kernels, edges, x) → x_receiver - x_sender: what :class:`_Sums` is transposed."""

    @staticmethod
    def forward(ctx: Any, kernels: EdgeKernels, edges: Edges, atoms: Tensor) -> Tensor:
        ctx.kernels, ctx.edges = kernels, edges
        return _differences(kernels, edges.receiver, edges.sender, atoms)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _Sums.apply(ctx.kernels, ctx.edges, cotangent)  # type: ignore[no-untyped-call]

"""Between atoms and edges by kernels: sums and differences are each other's transposes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.ops.edge_sums.protocol import EdgeKernels
from mfbench.mfcore.ops.edges import Edges


def sums_by_kernels(kernels: EdgeKernels, edges: Edges, gradient: Tensor) -> Tensor:
    """Σ g (E, 3) of the edges into each atom less Σ g of those that leave it, (A, 3)."""
    made: Tensor = _Sums.apply(kernels, edges, gradient)  # type: ignore[no-untyped-call]
    return made


def differences_by_kernels(
    kernels: EdgeKernels, first: Tensor, second: Tensor, atoms: Tensor, added: Tensor | None = None
) -> Tensor:
    """x[first] - x[second] + added, (E, 3), of atoms x (A, 3); without derivatives."""
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
        return differences_by_kernels(kernels, edges.receiver, edges.sender, atoms)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _Sums.apply(ctx.kernels, ctx.edges, cotangent)  # type: ignore[no-untyped-call]

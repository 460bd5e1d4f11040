"""``mfbench::edge_vectors`` and ``mfbench::edge_sums``, each the other's transpose.

See :mod:`mfbench.mfcore.ops.library`. They compute by kernels where the backend has them, else in plain torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.select import kernels_for
from mfbench.mfcore.ops.edge_sums.autograd import differences_by_kernels
from mfbench.mfcore.ops.edge_sums.reference import differences_reference, sums_reference
from mfbench.mfcore.ops.edges import Edges

_EDGES = "Tensor sender, Tensor receiver, Tensor row_pointer"


@torch.library.custom_op(
    "mfbench::edge_vectors",
    mutates_args=(),
    schema=f"(Tensor positions, {_EDGES}, Tensor? shift, str backend) -> Tensor",
)
def edge_vectors_op(
    positions: Tensor, sender: Tensor, receiver: Tensor, row_pointer: Tensor, shift: Tensor | None, backend: Backend
) -> Tensor:
    """r_sender - r_receiver + shift, (E, 3), of positions (A, 3); without a shift, zero is added."""
    edges = Edges(positions.shape[0], sender, receiver, row_pointer)
    kernels = kernels_for(backend, positions).edges
    if kernels is None:
        return differences_reference(positions, edges, positions.new_zeros(()) if shift is None else shift)
    return differences_by_kernels(kernels, edges.sender, edges.receiver, positions, shift)


@torch.library.custom_op(
    "mfbench::edge_sums", mutates_args=(), schema=f"(Tensor gradient, {_EDGES}, str backend) -> Tensor"
)
def edge_sums_op(gradient: Tensor, sender: Tensor, receiver: Tensor, row_pointer: Tensor, backend: Backend) -> Tensor:
    """Σ g (E, 3) of the edges into each atom less Σ g of those that leave it, (A, 3)."""
    edges = Edges(row_pointer.shape[0] - 1, sender, receiver, row_pointer)
    kernels = kernels_for(backend, gradient).edges
    if kernels is None:
        return sums_reference(gradient, edges)
    made = gradient.new_empty(edges.n_atoms, 3)
    kernels.sums(edges, gradient.contiguous(), made)
    return made


@edge_vectors_op.register_fake
def _(positions: Tensor, sender: Tensor, *_: Any) -> Tensor:
    return positions.new_empty(sender.shape[0], 3)


@edge_sums_op.register_fake
def _(gradient: Tensor, sender: Tensor, receiver: Tensor, row_pointer: Tensor, backend: str) -> Tensor:
    return gradient.new_empty(row_pointer.shape[0] - 1, 3)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1:4])
    ctx.backend = inputs[-1]


def _vectors_backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    wanted = ctx.needs_input_grad[0]
    for_positions = -edge_sums_op(cotangent, *ctx.saved_tensors, ctx.backend) if wanted else None
    return for_positions, None, None, None, cotangent if ctx.needs_input_grad[4] else None, None


def _sums_backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    return -edge_vectors_op(cotangent, *ctx.saved_tensors, None, ctx.backend), None, None, None, None


edge_vectors_op.register_autograd(_vectors_backward, setup_context=_keep)
edge_sums_op.register_autograd(_sums_backward, setup_context=_keep)

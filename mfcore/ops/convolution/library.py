"""``mfbench::convolution`` and its derivatives; see :mod:`mfbench.mfcore.ops.library`.

``mfbench::convolution_backward`` has the derivatives that a loss on forces needs, and none with respect to harmonics
and spline weights: Hessians are for eager code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.select import kernels_for
from mfbench.mfcore.ops.autograd import wanted
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels, EdgeInputs
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.library import missing
from mfbench.mfcore.ops.radial.table import RadialTable

_INPUTS = "Tensor knot, Tensor harmonics, Tensor spline, Tensor table, Tensor[] features"
_EDGES = "Tensor sender, Tensor receiver, Tensor row_pointer, str instructions, str backend"


def convolve_in_graph(
    paths: TensorProductInstructions,
    features: Sequence[Tensor],
    geometry: EdgeGeometry,
    table: RadialTable,
    backend: Backend,
) -> list[Tensor]:
    """As :func:`~mfbench.mfcore.ops.convolution.autograd.convolve_by_kernels`, as one node of a traced graph."""
    edges = geometry.edges
    ends = edges.sender, edges.receiver, edges.row_pointer
    inputs = geometry.knot, geometry.harmonics, geometry.spline, table.values
    made: list[Tensor] = convolution_op(*inputs, list(features), *ends, paths.key, backend)
    return made


def _call(
    sender: Tensor, receiver: Tensor, row_pointer: Tensor, key: str, backend: Backend, like: Tensor
) -> tuple[ConvolutionKernels, Edges]:
    found = kernels_for(backend, like).convolution(TensorProductInstructions.from_key(key))
    if found is None:
        raise missing("convolution", backend, like.device, like.dtype)
    return found, Edges(row_pointer.shape[0] - 1, sender, receiver, row_pointer)


def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.contiguous() for tensor in tensors]


def _outputs(harmonics: Tensor, n_atoms: int, key: str) -> list[Tensor]:
    layout = TensorProductInstructions.from_key(key).output_layout
    return [harmonics.new_empty(n_atoms, 2 * degree + 1, channels) for degree, _, channels in layout]


def _empty(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in tensors]


@torch.library.custom_op("mfbench::convolution", mutates_args=(), schema=f"({_INPUTS}, {_EDGES}) -> Tensor[]")
def convolution_op(
    knot: Tensor,
    harmonics: Tensor,
    spline: Tensor,
    table: Tensor,
    features: Sequence[Tensor],
    sender: Tensor,
    receiver: Tensor,
    row_pointer: Tensor,
    instructions: str,
    backend: Backend,
) -> list[Tensor]:
    """One (A, 2l+1, channels) for each irrep of the output."""
    kernels, edges = _call(sender, receiver, row_pointer, instructions, backend, harmonics)
    inputs = EdgeInputs(*_contiguous((knot, harmonics, spline, table)))
    made = _outputs(harmonics, edges.n_atoms, instructions)
    kernels.forward(edges, inputs, _contiguous(features), made)
    return made


@torch.library.custom_op(
    "mfbench::convolution_backward",
    mutates_args=(),
    schema=f"({_INPUTS}, Tensor[] cotangents, {_EDGES}, bool geometry, bool weights, bool inputs) -> Tensor[]",
)
def convolution_backward_op(
    knot: Tensor,
    harmonics: Tensor,
    spline: Tensor,
    table: Tensor,
    features: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    sender: Tensor,
    receiver: Tensor,
    row_pointer: Tensor,
    instructions: str,
    backend: Backend,
    geometry: bool,
    weights: bool,
    inputs: bool,
) -> list[Tensor]:
    """Gradients, those that the flags ask for: of harmonics and spline; of the table; of the features."""
    kernels, edges = _call(sender, receiver, row_pointer, instructions, backend, harmonics)
    given = EdgeInputs(*_contiguous((knot, harmonics, spline, table)))
    x, g = _contiguous(features), _contiguous(cotangents)
    gx = _empty(x) if inputs else None
    made: list[Tensor] = []
    if geometry:
        made = _empty((harmonics, spline))
        kernels.backward_geometry(edges, given, x, g, gx, *made)
    if weights or not geometry:
        (gt,) = _empty((table,))
        kernels.backward_parameters(edges, given, x, g, None if geometry else gx, gt)
        made += [gt] if weights else []
    return [*made, *(gx or [])]


@torch.library.custom_op(
    "mfbench::convolution_double_backward",
    mutates_args=(),
    schema=f"({_INPUTS}, Tensor[] cotangents, Tensor[] along, {_EDGES}) -> Tensor[]",
)
def convolution_double_backward_op(
    knot: Tensor,
    harmonics: Tensor,
    spline: Tensor,
    table: Tensor,
    features: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    along: Sequence[Tensor],
    sender: Tensor,
    receiver: Tensor,
    row_pointer: Tensor,
    instructions: str,
    backend: Backend,
) -> list[Tensor]:
    """Derivatives of gradients along directions of harmonics, spline and features: of table, features, cotangents."""
    kernels, edges = _call(sender, receiver, row_pointer, instructions, backend, harmonics)
    given = EdgeInputs(*_contiguous((knot, harmonics, spline, table)))
    x, g = _contiguous(features), _contiguous(cotangents)
    b, u, *z = _contiguous(along)
    gt, *gx = _empty((table, *x))
    gg = _empty(g)
    kernels.double_backward(edges, given, x, g, z, b, u, gg, gx, gt)
    return [gt, *gx, *gg]


@convolution_op.register_fake
def _(
    knot: Tensor,
    harmonics: Tensor,
    spline: Tensor,
    table: Tensor,
    features: Sequence[Tensor],
    sender: Tensor,
    receiver: Tensor,
    row_pointer: Tensor,
    instructions: str,
    backend: Backend,
) -> list[Tensor]:
    return _outputs(harmonics, row_pointer.shape[0] - 1, instructions)


@convolution_backward_op.register_fake
def _(
    knot: Tensor, harmonics: Tensor, spline: Tensor, table: Tensor, features: Sequence[Tensor], *rest: Any
) -> list[Tensor]:
    geometry, weights, inputs = rest[-3:]
    made = [*((harmonics, spline) if geometry else ()), *((table,) if weights else ())]
    return _empty([*made, *(features if inputs else ())])


@convolution_double_backward_op.register_fake
def _(
    knot: Tensor,
    harmonics: Tensor,
    spline: Tensor,
    table: Tensor,
    features: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    *_: Any,
) -> list[Tensor]:
    return _empty([table, *features, *cotangents])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *given, features, sender, receiver, row_pointer, ctx.key, ctx.backend = inputs
    ctx.save_for_backward(*given, *features, sender, receiver, row_pointer)


def _backward(ctx: Any, cotangents: Sequence[Tensor]) -> tuple[Any, ...]:
    tensors = ctx.saved_tensors
    n = len(tensors) - 7
    flags = wanted(ctx, 1, 1) or wanted(ctx, 2, 2), wanted(ctx, 3, 3), any(ctx.needs_input_grad[4])
    given = (*tensors[:4], list(tensors[4 : 4 + n]), list(cotangents), *tensors[4 + n :], ctx.key, ctx.backend)
    made = convolution_backward_op(*given, *flags)
    gy, gc = (made.pop(0), made.pop(0)) if flags[0] else (None, None)
    gt = made.pop(0) if flags[1] else None
    return None, gy, gc, gt, made if flags[2] else [None] * n, *(None,) * 5


def _keep_cotangents(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *given, features, cotangents, sender, receiver, row_pointer, ctx.key, ctx.backend = inputs[:-3]
    ctx.flags, ctx.n = inputs[-3:], len(features)
    ctx.save_for_backward(*given, *features, *cotangents, sender, receiver, row_pointer)


def _backward_of_backward(ctx: Any, directions: Sequence[Tensor]) -> tuple[Any, ...]:
    tensors, n = ctx.saved_tensors, 4 + ctx.n
    geometry, weights, inputs = ctx.flags
    if weights or wanted(ctx, 1, 1) or wanted(ctx, 2, 2):
        raise RuntimeError(
            "a Hessian through a compiled graph was asked for, or a derivative of a gradient of weights: call the "
            "network without torch.compile."
        )
    features, cotangents, ends = list(tensors[4:n]), list(tensors[n:-3]), tensors[-3:]
    found = list(directions)
    along = [found.pop(0), found.pop(0)] if geometry else [torch.zeros_like(x) for x in tensors[1:3]]
    along += found if inputs else [torch.zeros_like(x) for x in features]
    made = convolution_double_backward_op(*tensors[:4], features, cotangents, along, *ends, ctx.key, ctx.backend)
    gt, gx, gg = made[0], made[1 : 1 + ctx.n], made[1 + ctx.n :]
    return None, None, None, gt, gx, gg, *(None,) * 8


convolution_op.register_autograd(_backward, setup_context=_keep)
convolution_backward_op.register_autograd(_backward_of_backward, setup_context=_keep_cotangents)

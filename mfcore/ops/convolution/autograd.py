"""The convolution with a radial table by kernels of any backend.

Two functions make it twice differentiable: :class:`_Convolution`, and :class:`_Backward`, its gradient. Each pass
computes only the gradients that torch's engine will use, see :func:`~mfbench.mfcore.ops.autograd.wanted`. Second
derivatives that training never asks for (with respect to harmonics or spline weights: Hessians) are taken from the
reference, so every first and second derivative is right; a third one is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mfbench.mfcore.ops.autograd import refuse_derivatives, wanted
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels, EdgeInputs
from mfbench.mfcore.ops.convolution.reference import convolve_reference
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.radial.table import RadialTable, evaluate_spline


class _Call(NamedTuple):
    """Kernels, products and edges, which all passes of one convolution share."""

    kernels: ConvolutionKernels
    paths: TensorProductInstructions
    edges: Edges


def convolve_by_kernels(
    paths: TensorProductInstructions,
    kernels: ConvolutionKernels,
    features: Sequence[Tensor],
    geometry: EdgeGeometry,
    table: RadialTable,
) -> list[Tensor]:
    """Convolution with a radial table; arguments are checked by the caller."""
    assert geometry.knot is not None
    assert geometry.spline is not None
    out = _Convolution.apply(  # type: ignore[no-untyped-call]
        _Call(kernels, paths, geometry.edges),
        geometry.knot,
        geometry.harmonics.contiguous(),
        geometry.spline.contiguous(),
        table.values.contiguous(),
        *[feature.contiguous() for feature in features],
    )
    return list(out)


class _Convolution(torch.autograd.Function):
    """(call, knot, harmonics, spline, table, *features) → outputs."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs, features = EdgeInputs(*tensors[:4]), tensors[4:]
        n = call.edges.n_atoms
        out = [inputs.harmonics.new_empty(n, 2 * l3 + 1, c) for l3, _, c in call.paths.output_layout]
        call.kernels.forward(call.edges, inputs, features, out)
        ctx.save_for_backward(*tensors)
        ctx.call = call
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        for_geometry = wanted(ctx, 2, 1) or wanted(ctx, 3, 2)
        for_table = wanted(ctx, 4, 3)
        for_features = any(wanted(ctx, k + 1, k) for k in range(4, len(tensors)))
        if not (for_geometry or for_table or for_features):
            return (None,) * (len(tensors) + 1)
        flags = (for_geometry, for_table, for_features)
        arguments = (*tensors, *[g.contiguous() for g in cotangents])
        apply = _Backward.apply if torch.is_grad_enabled() else _first_derivatives
        return (None, None, *apply(ctx.call, flags, *arguments))


def _first_derivatives(call: _Call, flags: tuple[bool, bool, bool], *tensors: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of (harmonics, spline, table, *features); None where the flags do not ask for them."""
    n = 4 + len(call.paths.input)
    inputs, features, cotangents = EdgeInputs(*tensors[:4]), tensors[4:n], tensors[n:]
    for_geometry, for_table, for_features = flags
    gx = [torch.empty_like(x) for x in features] if for_features else None
    gy = gc = gt = None
    if for_geometry:
        gy, gc = torch.empty_like(inputs.harmonics), torch.empty_like(inputs.spline)
        call.kernels.backward_geometry(call.edges, inputs, features, cotangents, gx, gy, gc)
    if for_table or not for_geometry:
        gt = torch.empty_like(inputs.table)
        made = None if for_geometry else gx
        call.kernels.backward_parameters(call.edges, inputs, features, cotangents, made, gt)
    return (gy, gc, gt if for_table else None, *(gx or (None,) * len(features)))


class _Backward(torch.autograd.Function):
    """(call, flags, knot, harmonics, spline, table, *features, *cotangents) → the gradients that flags name."""

    @staticmethod
    def forward(ctx: Any, call: _Call, flags: tuple[bool, bool, bool], *tensors: Tensor) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(*tensors)
        ctx.call = call
        ctx.set_materialize_grads(False)
        return _first_derivatives(call, flags, *tensors)

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        with_geometry = directions[2] is not None or wanted(ctx, 3, 1) or wanted(ctx, 4, 2)
        with torch.no_grad():
            if with_geometry:
                grads = _second_derivatives(ctx.call, tensors, directions)
            else:
                grads = _parameter_derivatives(ctx.call, tensors, directions)
        return (None, None, None, *refuse_derivatives(grads, tensors[1:]))


def _parameter_derivatives(
    call: _Call, tensors: Sequence[Tensor], directions: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """As :func:`_second_derivatives` by the kernel: for no direction of the table, and not to the geometry."""
    n = 4 + len(call.paths.input)
    b, u, _, *z = directions
    inputs, features, cotangents = EdgeInputs(*tensors[:4]), tensors[4:n], tensors[n:]
    b = torch.zeros_like(inputs.harmonics) if b is None else b.contiguous()
    u = torch.zeros_like(inputs.spline) if u is None else u.contiguous()
    along = [torch.zeros_like(x) if d is None else d.contiguous() for x, d in zip(features, z, strict=True)]
    gg = [torch.empty_like(g) for g in cotangents]
    gx, gt = [torch.empty_like(x) for x in features], torch.empty_like(inputs.table)
    call.kernels.double_backward(call.edges, inputs, features, cotangents, along, b, u, gg, gx, gt)
    return [None, None, gt, *gx, *gg]


def _second_derivatives(
    call: _Call, tensors: Sequence[Tensor], directions: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """All gradients of the first derivatives by the reference: of harmonics, spline, table, features, cotangents."""
    n = 4 + len(call.paths.input)
    with torch.enable_grad():
        knot, *rest = [tensor.detach() for tensor in tensors]
        for tensor in rest:
            tensor.requires_grad_(True)
        harmonics, spline, table, *others = rest
        features, cotangents = others[: n - 4], others[n - 4 :]
        weights = evaluate_spline(knot, spline, table)
        out = convolve_reference(call.paths, features, call.edges.sender, call.edges.receiver, harmonics, weights)
        first = torch.autograd.grad(out, rest[: n - 1], cotangents, create_graph=True, allow_unused=True)
        # an input irrep that no path takes has no derivative
        pairs = [(f, d) for f, d in zip(first, directions, strict=True) if f is not None and d is not None]
        grads = torch.autograd.grad([f for f, _ in pairs], rest, [d for _, d in pairs], allow_unused=True)
    return list(grads)

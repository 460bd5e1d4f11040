"""The geometry operator by kernels: edge vectors → harmonics, spline interval, spline weights × envelope.

Twice differentiable with respect to everything; a third derivative is an error. Second derivatives with respect to
the vectors (Hessians, which training never asks for) are taken from the reference.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mfbench.mfcore.ops.autograd import refuse_derivatives, wanted
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels
from mfbench.mfcore.ops.geometry.reference import reference_harmonics, reference_spline
from mfbench.mfcore.ops.radial.functions import RadialSettings


class _Call(NamedTuple):
    kernels: GeometryKernels
    lmax: int
    settings: RadialSettings

    @property
    def scale(self) -> tuple[float, int]:
        """Cutoff (Å) and number of knots."""
        return self.settings.cutoff, self.settings.n_knots


def geometry_by_kernels(
    kernels: GeometryKernels, vectors: Tensor, lmax: int, settings: RadialSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Harmonics (E, (lmax + 1)²), spline interval (E,) int32 and spline weights × envelope (E, 4) of (E, 3) vectors."""
    harmonics, knot, spline = _Geometry.apply(  # type: ignore[no-untyped-call]
        _Call(kernels, lmax, settings), vectors.contiguous()
    )
    return harmonics, knot, spline


class _Geometry(torch.autograd.Function):
    """(call, vectors) → harmonics, knot, spline."""

    @staticmethod
    def forward(ctx: Any, call: _Call, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n = vectors.shape[0]
        harmonics = vectors.new_empty(n, (call.lmax + 1) ** 2)
        knot, spline = vectors.new_empty(n, dtype=torch.int32), vectors.new_empty(n, 4)
        call.kernels.forward(vectors, *call.scale, harmonics, knot, spline)
        ctx.mark_non_differentiable(knot)
        ctx.save_for_backward(vectors)
        ctx.call = call
        return harmonics, knot, spline

    @staticmethod
    def backward(ctx: Any, for_harmonics: Tensor, _: Any, for_spline: Tensor) -> tuple[None, Tensor]:
        (vectors,) = ctx.saved_tensors
        arguments = (ctx.call, vectors, for_harmonics.contiguous(), for_spline.contiguous())
        return None, _Backward.apply(*arguments)  # type: ignore[no-untyped-call]


class _Backward(torch.autograd.Function):
    """(call, vectors, cotangents of harmonics and spline) → gradient of the vectors."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> Tensor:
        vectors, for_harmonics, for_spline = tensors
        gradient = torch.empty_like(vectors)
        call.kernels.backward(vectors, *call.scale, for_harmonics, for_spline, gradient)
        ctx.save_for_backward(*tensors)
        ctx.call = call
        return gradient

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:
        vectors, for_harmonics, for_spline = ctx.saved_tensors
        call, direction = ctx.call, direction.contiguous()
        hessian = _hessian_product(call, vectors, for_harmonics, for_spline, direction) if wanted(ctx, 1, 0) else None
        b, u = torch.empty_like(for_harmonics), torch.empty_like(for_spline)
        call.kernels.tangent(vectors, *call.scale, direction, b, u)
        return (None, *refuse_derivatives([hessian, b, u], ctx.saved_tensors))


def _hessian_product(
    call: _Call, vectors: Tensor, for_harmonics: Tensor, for_spline: Tensor, direction: Tensor
) -> Tensor:
    """Second derivatives of for_harmonics · Y + for_spline · c with respect to vectors, times a direction (E, 3)."""
    settings = call.settings
    with torch.enable_grad():
        vectors = vectors.detach().requires_grad_(True)
        x = torch.linalg.vector_norm(vectors, dim=1) / settings.cutoff
        _, spline = reference_spline(x, settings.n_knots, settings.envelope_power)
        outputs, cotangents = [spline], [for_spline.detach()]
        if call.lmax > 0:
            outputs.append(reference_harmonics(vectors, call.lmax))
            cotangents.append(for_harmonics.detach())
        (first,) = torch.autograd.grad(outputs, vectors, cotangents, create_graph=True)
        (second,) = torch.autograd.grad(first, vectors, direction.detach())
    return second

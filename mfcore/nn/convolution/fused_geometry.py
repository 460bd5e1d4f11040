"""The geometry operator by generated code: edge vectors → harmonics, spline interval, spline weights × envelope.

Twice differentiable with respect to everything; a third derivative is an error.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mfcore.nn.convolution.compiler import load_library
from mfcore.nn.convolution.engine import refuse_derivatives, wanted
from mfcore.nn.convolution.source_geometry import geometry_source

_SCALARS = {torch.float32: ("float", ctypes.c_float), torch.float64: ("double", ctypes.c_double)}
MAX_DEGREE = 4


class GeometryKernels:
    """The compiled operator for one highest degree, envelope and dtype."""

    def __init__(self, library: ctypes.CDLL, lmax: int, number: Any) -> None:
        self.n_harmonics = (lmax + 1) ** 2
        for name, n_pointers in (("forward", 3), ("backward", 3), ("tangent", 3), ("hessian", 4)):
            function = getattr(library, f"geometry_{name}")
            pointers = [ctypes.c_void_p] * n_pointers
            function.argtypes = [ctypes.c_int64, ctypes.c_void_p, number, ctypes.c_int, *pointers, ctypes.c_int]
            function.restype = None
            setattr(self, name, function)

    forward: Any
    backward: Any
    tangent: Any
    hessian: Any


@cache
def geometry_kernels(lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
    """The operator, compiled at the first call.

    Raises
    ------
    CompilerError
        If it cannot be compiled here.
    """
    scalar, number = _SCALARS[dtype]
    key = f"geometry {lmax} {envelope_power} {scalar}"
    return GeometryKernels(load_library(key, lambda: geometry_source(lmax, envelope_power, scalar)), lmax, number)


class _Call(NamedTuple):
    kernels: GeometryKernels
    cutoff: float
    n_knots: int

    def run(self, kernel: Any, vectors: Tensor, *tensors: Tensor) -> None:
        pointers = [tensor.data_ptr() for tensor in tensors]
        kernel(vectors.shape[0], vectors.data_ptr(), self.cutoff, self.n_knots, *pointers, torch.get_num_threads())


def fused_geometry(
    kernels: GeometryKernels, vectors: Tensor, cutoff: float, n_knots: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Harmonics (E, (lmax + 1)²), spline interval (E,) int32 and spline weights × envelope (E, 4) of (E, 3) vectors."""
    harmonics, knot, spline = _Geometry.apply(  # type: ignore[no-untyped-call]
        _Call(kernels, cutoff, n_knots), vectors.contiguous()
    )
    return harmonics, knot, spline


class _Geometry(torch.autograd.Function):
    """(call, vectors) → harmonics, knot, spline."""

    @staticmethod
    def forward(ctx: Any, call: _Call, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n = vectors.shape[0]
        harmonics = vectors.new_empty(n, call.kernels.n_harmonics)
        knot, spline = vectors.new_empty(n, dtype=torch.int32), vectors.new_empty(n, 4)
        call.run(call.kernels.forward, vectors, harmonics, knot, spline)
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
        call.run(call.kernels.backward, vectors, for_harmonics, for_spline, gradient)
        ctx.save_for_backward(*tensors)
        ctx.call = call
        return gradient

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:
        vectors, for_harmonics, for_spline = ctx.saved_tensors
        call, direction = ctx.call, direction.contiguous()
        hessian = None
        if wanted(ctx, 1, 0):
            hessian = torch.empty_like(vectors)
            call.run(call.kernels.hessian, vectors, for_harmonics, for_spline, direction, hessian)
        b, u = torch.empty_like(for_harmonics), torch.empty_like(for_spline)
        call.run(call.kernels.tangent, vectors, direction, b, u)
        return (None, *refuse_derivatives([hessian, b, u], ctx.saved_tensors))

"""The convolution by generated kernels: CPU, radial table, float32 and float64.

Two functions make it twice differentiable: :class:`_Convolution`, and :class:`_Backward`, its gradient. Each pass
computes only the gradients that torch's engine will use, see :func:`~mfcore.nn.convolution.engine.wanted`. Second
derivatives that training never asks for (with respect to harmonics or spline weights: Hessians) are taken from the
reference, so every first and second derivative is right; a third one is an error.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from mfcore.nn.convolution.compiler import load_library
from mfcore.nn.convolution.engine import refuse_derivatives, wanted
from mfcore.nn.convolution.paths import Layout, TensorProductPaths
from mfcore.nn.convolution.radial import RadialTable, evaluate_spline
from mfcore.nn.convolution.reference import convolve_reference
from mfcore.nn.convolution.source_convolution import convolution_source

if TYPE_CHECKING:
    from mfcore.nn.convolution.geometry import EdgeGeometry

SCALARS = {torch.float32: "float", torch.float64: "double"}


class Kernels:
    """The compiled kernels of one set of paths in one dtype."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name in ("forward", "backward_geometry", "backward_parameters", "double_backward"):
            function = getattr(library, name)
            function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int]
            function.restype = ctypes.c_int
        self.forward: Any = library.forward
        self.backward_geometry: Any = library.backward_geometry
        self.backward_parameters: Any = library.backward_parameters
        self.double_backward: Any = library.double_backward


@cache
def _kernels(input: Layout, lmax: int, output: tuple[tuple[int, int], ...], dtype: torch.dtype) -> Kernels:
    def source() -> str:
        return convolution_source(TensorProductPaths(input, lmax, output), SCALARS[dtype])

    return Kernels(load_library(f"convolution {input} {lmax} {output} {SCALARS[dtype]}", source))


def kernels_for(paths: TensorProductPaths, dtype: torch.dtype) -> Kernels:
    """Kernels of these paths, compiled at the first call.

    Raises
    ------
    CompilerError
        If they cannot be compiled here.
    """
    return _kernels(paths.input, paths.lmax, tuple((l3, p3) for l3, p3, _ in paths.output_layout), dtype)


class _Call(NamedTuple):
    """What all passes of one convolution share."""

    kernels: Kernels
    paths: TensorProductPaths
    n_atoms: int
    sender: Tensor
    receiver: Tensor
    row_pointer: Tensor

    def run(self, kernel: Any, fixed: Sequence[Tensor], *groups: Sequence[Tensor | None]) -> None:
        """Call a kernel with pointers to (row pointer, sender, *fixed, *groups); `fixed` is knot, Y, spline, table."""
        pointers = [self.row_pointer.data_ptr(), self.sender.data_ptr()]
        pointers.extend([tensor.data_ptr() for tensor in fixed])
        for group in groups:
            pointers.extend([0 if tensor is None else tensor.data_ptr() for tensor in group])
        array = (ctypes.c_void_p * len(pointers))(*pointers)
        if kernel(array, self.n_atoms, fixed[3].shape[0], torch.get_num_threads()):
            raise MemoryError("a convolution kernel could not allocate its buffers.")


def convolve_fused(
    paths: TensorProductPaths,
    kernels: Kernels,
    features: Sequence[Tensor],
    geometry: EdgeGeometry,
    table: RadialTable,
) -> list[Tensor]:
    """Convolution with a radial table; arguments are checked by the caller."""
    assert geometry.knot is not None
    assert geometry.spline is not None
    call = _Call(kernels, paths, geometry.n_atoms, geometry.sender, geometry.receiver, geometry.row_pointer)
    out = _Convolution.apply(  # type: ignore[no-untyped-call]
        call,
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
        fixed, features = tensors[:4], tensors[4:]
        out = [fixed[1].new_empty(call.n_atoms, 2 * l3 + 1, c) for l3, _, c in call.paths.output_layout]
        call.run(call.kernels.forward, fixed, features, out)
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
    fixed, features, cotangents = tensors[:4], tensors[4:n], tensors[n:]
    for_geometry, for_table, for_features = flags
    gx: list[Tensor | None] = [torch.empty_like(x) if for_features else None for x in features]
    gy = gc = gt = None
    if for_geometry:
        gy, gc = torch.empty_like(fixed[1]), torch.empty_like(fixed[2])
        call.run(call.kernels.backward_geometry, fixed, features, cotangents, gx, (gy, gc))
    if for_table or not for_geometry:
        gt = torch.empty_like(fixed[3])
        made: list[Tensor | None] = [None] * len(gx) if for_geometry else gx
        call.run(call.kernels.backward_parameters, fixed, features, cotangents, made, (gt,))
    return (gy, gc, gt if for_table else None, *gx)


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
    fixed, features, cotangents = tensors[:4], tensors[4:n], tensors[n:]
    b = torch.zeros_like(fixed[1]) if b is None else b.contiguous()
    u = torch.zeros_like(fixed[2]) if u is None else u.contiguous()
    z = [torch.zeros_like(x) if d is None else d.contiguous() for x, d in zip(features, z, strict=True)]
    gg = [torch.empty_like(g) for g in cotangents]
    gx, gt = [torch.empty_like(x) for x in features], torch.empty_like(fixed[3])
    call.run(call.kernels.double_backward, fixed, features, cotangents, z, (b, u), gg, gx, (gt,))
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
        out = convolve_reference(call.paths, features, call.sender, call.receiver, harmonics, weights)
        first = torch.autograd.grad(out, rest[: n - 1], cotangents, create_graph=True, allow_unused=True)
        # an input irrep that no path takes has no derivative
        pairs = [(f, d) for f, d in zip(first, directions, strict=True) if f is not None and d is not None]
        grads = torch.autograd.grad([f for f, _ in pairs], rest, [d for _, d in pairs], allow_unused=True)
    return list(grads)

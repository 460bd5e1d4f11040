"""``mfbench::geometry`` and its derivatives; see :mod:`mfbench.mfcore.ops.library`.

``mfbench::geometry_backward`` has derivatives with respect to the cotangents, which a loss on forces needs, and none
with respect to the vectors: Hessians are for eager code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.select import kernels_for
from mfbench.mfcore.ops.autograd import wanted
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels
from mfbench.mfcore.ops.library import missing
from mfbench.mfcore.ops.radial.functions import RadialSettings

_SETTINGS = "int lmax, float cutoff, int n_knots, int envelope_power, str backend"


def geometry_in_graph(
    vectors: Tensor, lmax: int, settings: RadialSettings, backend: Backend
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`~mfbench.mfcore.ops.geometry.autograd.geometry_by_kernels`, as one node of a traced graph."""
    numbers = settings.cutoff, settings.n_knots, settings.envelope_power
    harmonics, knot, spline = geometry_op(vectors, lmax, *numbers, backend)
    return harmonics, knot, spline


def _kernels(vectors: Tensor, lmax: int, envelope_power: int, backend: Backend) -> GeometryKernels:
    found = kernels_for(backend, vectors).geometry(lmax, envelope_power)
    if found is None:
        raise missing("geometry", backend, vectors.device, vectors.dtype)
    return found


@torch.library.custom_op(
    "mfbench::geometry", mutates_args=(), schema=f"(Tensor vectors, {_SETTINGS}) -> (Tensor, Tensor, Tensor)"
)
def geometry_op(
    vectors: Tensor, lmax: int, cutoff: float, n_knots: int, envelope_power: int, backend: Backend
) -> tuple[Tensor, Tensor, Tensor]:
    """Harmonics (E, (lmax + 1)²), spline interval (E,) int32 and spline weights × envelope (E, 4) of (E, 3) vectors."""
    kernels = _kernels(vectors, lmax, envelope_power, backend)
    made = _places(vectors, lmax)
    kernels.forward(vectors.contiguous(), cutoff, n_knots, *made)
    return made


@torch.library.custom_op(
    "mfbench::geometry_backward",
    mutates_args=(),
    schema=f"(Tensor vectors, Tensor for_harmonics, Tensor for_spline, {_SETTINGS}) -> Tensor",
)
def geometry_backward_op(
    vectors: Tensor,
    for_harmonics: Tensor,
    for_spline: Tensor,
    lmax: int,
    cutoff: float,
    n_knots: int,
    envelope_power: int,
    backend: Backend,
) -> Tensor:
    """Gradient of the vectors, (E, 3)."""
    kernels = _kernels(vectors, lmax, envelope_power, backend)
    vectors = vectors.contiguous()
    made = torch.empty_like(vectors)
    kernels.backward(vectors, cutoff, n_knots, for_harmonics.contiguous(), for_spline.contiguous(), made)
    return made


@torch.library.custom_op(
    "mfbench::geometry_tangent",
    mutates_args=(),
    schema=f"(Tensor vectors, Tensor along, {_SETTINGS}) -> (Tensor, Tensor)",
)
def geometry_tangent_op(
    vectors: Tensor, along: Tensor, lmax: int, cutoff: float, n_knots: int, envelope_power: int, backend: Backend
) -> tuple[Tensor, Tensor]:
    """Derivatives of harmonics and spline weights along a direction (E, 3)."""
    kernels = _kernels(vectors, lmax, envelope_power, backend)
    harmonics, _, spline = _places(vectors, lmax)
    kernels.tangent(vectors.contiguous(), cutoff, n_knots, along.contiguous(), harmonics, spline)
    return harmonics, spline


def _places(vectors: Tensor, lmax: int) -> tuple[Tensor, Tensor, Tensor]:
    n = vectors.shape[0]
    knot = vectors.new_empty(n, dtype=torch.int32)
    return vectors.new_empty(n, (lmax + 1) ** 2), knot, vectors.new_empty(n, 4)


@geometry_op.register_fake
def _(vectors: Tensor, lmax: int, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _places(vectors, lmax)


@geometry_backward_op.register_fake
def _(vectors: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(vectors, memory_format=torch.contiguous_format)


@geometry_tangent_op.register_fake
def _(vectors: Tensor, along: Tensor, lmax: int, *rest: Any) -> tuple[Tensor, Tensor]:
    harmonics, _, spline = _places(vectors, lmax)
    return harmonics, spline


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(inputs[0])
    ctx.settings = inputs[1:]


def _backward(ctx: Any, for_harmonics: Tensor, _: Any, for_spline: Tensor) -> tuple[Tensor | None, ...]:
    made = geometry_backward_op(*ctx.saved_tensors, for_harmonics, for_spline, *ctx.settings)
    return made, *(None,) * len(ctx.settings)


def _keep_cotangents(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.settings = inputs[3:]


def _backward_of_backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:
    if wanted(ctx, 0, 0):
        raise RuntimeError("a Hessian through a compiled graph was asked for: call the network without torch.compile.")
    made = geometry_tangent_op(*ctx.saved_tensors, direction, *ctx.settings)
    return None, *made, *(None,) * len(ctx.settings)


geometry_op.register_autograd(_backward, setup_context=_keep)
geometry_backward_op.register_autograd(_backward_of_backward, setup_context=_keep_cotangents)

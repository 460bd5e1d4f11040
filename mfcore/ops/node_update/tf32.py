"""Matrix products in TF32: factors with 10 bits of mantissa, sums in float32.

A GPU's matrix units (from compute capability 8.0 on) multiply in TF32 several times faster than in float32. On other
devices the factors are rounded and then multiplied in float32, which costs time but gives the same accuracy, so that
what TF32 does to a network can be seen without such a GPU.

With `precision: mixed`, training steps take the products of features with matrices in the node updates this way.
Geometry, radial networks, convolutions, the readout and the loss stay in float32, and so do validation, predictions
and molecular dynamics. What other choices do to a trained network (two layers of 32 channels; 400 molecules that it
was not trained on, ωB97X; its mean absolute errors are 7.8 meV/atom and 140 meV/Å), as mean and largest difference
from float32 (TF32 rounded as here, and bfloat16 rounded like it)::

    energies, meV/atom    forces, meV/Å
    0.03   0.19           0.28    2.6      node updates in TF32
    0.31   1.4            2.5    29        node updates in bfloat16
    0.12   0.35           4.5    38        radial networks in TF32

bfloat16 is therefore no choice. The radial networks are not either: each knot of their tables is rounded on its own,
which makes splines rough, and they cost little, since they are evaluated on knots and not on edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.autograd import wanted

_DROPPED = 13  # of float32's 23 bits of mantissa
_MASK = -(1 << _DROPPED)


def tf32_product(x: Tensor, weight: Tensor) -> Tensor:
    """Product in TF32 whose derivatives, of any order, are products in TF32 too.

    Parameters
    ----------
    x
        (..., K).
    weight
        (K, W).

    Returns
    -------
    Tensor
        (..., W), float32; off by at most 2⁻¹⁰ Σ |x| |weight| (to first order).

    Raises
    ------
    ConfigError
        If they are not of float32.
    """
    if x.dtype != torch.float32 or weight.dtype != torch.float32:
        raise ConfigError(f"products in TF32 are of float32, but these are of {x.dtype} and {weight.dtype}.")
    made: Tensor = _Product.apply(x.reshape(-1, x.shape[-1]), weight)  # type: ignore[no-untyped-call]
    return made.view(*x.shape[:-1], weight.shape[1])


class _Product(torch.autograd.Function):
    """(x, y), two matrices → x y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        if x.device.type == "cuda":
            with _allowed():
                return x @ y
        return rounded(x) @ rounded(y)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, y = ctx.saved_tensors
        for_x = _Product.apply(cotangent, y.T) if wanted(ctx, 0, 0) else None  # type: ignore[no-untyped-call]
        for_y = _Product.apply(x.T, cotangent) if wanted(ctx, 1, 1) else None  # type: ignore[no-untyped-call]
        return for_x, for_y


@contextmanager
def _allowed() -> Iterator[None]:
    """TF32 for what is multiplied inside; everything else of the process stays in the precision that it has."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def rounded(x: Tensor) -> Tensor:
    """Round float32 to the nearest number with 10 bits of mantissa, ties to even; infinities and NaN stay."""
    bits = x.contiguous().view(torch.int32)
    odd = bits.bitwise_right_shift(_DROPPED).bitwise_and_(1)
    nearest = odd.add_(bits).add_((1 << (_DROPPED - 1)) - 1).bitwise_and_(_MASK).view(torch.float32)
    return torch.where(torch.isfinite(x), nearest, x)

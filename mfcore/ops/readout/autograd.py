"""The readout by kernels.

Two functions make it twice differentiable: :class:`_Readout`, and :class:`_Gradient`, its gradient. z is a result of
the former and an argument of the latter, so that a parameter pass goes through H once. Derivatives that a training
step never asks for are taken from plain torch, so those of any order are right.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.ops.autograd import all_wanted, differentiable_gradients
from mfbench.mfcore.ops.readout.protocol import ReadoutKernels
from mfbench.mfcore.ops.readout.reference import gradient_reference, readout_reference


def readout_by_kernels(
    kernels: ReadoutKernels, scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None
) -> Tensor:
    """Energy of each atom, (A,); arguments as of :func:`~mfbench.mfcore.ops.readout.op.readout`."""
    energy: Tensor
    energy, _ = _Readout.apply(kernels, scalars, hidden, out, *([] if added is None else [added]))  # type: ignore[no-untyped-call]
    return energy


def _like(out: Tensor, per_atom: Tensor | None) -> Tensor | None:
    """A gradient for each atom in the shape of `out`, which may be one row of all atoms."""
    return per_atom.sum(0, keepdim=True) if per_atom is not None and out.shape[0] == 1 else per_atom


class _Readout(torch.autograd.Function):
    """(kernels, scalars, hidden, out, *added) → y, z."""

    @staticmethod
    def forward(ctx: Any, kernels: ReadoutKernels, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.kernels = kernels
        scalars, hidden, out, *added = tensors
        energy, z = kernels.forward(scalars, hidden, out, added[0] if added else None)
        ctx.save_for_backward(*tensors, z)
        return energy, z

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor | None, for_z: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, z = ctx.saved_tensors
        scalars, hidden, out, *added = tensors
        flags = all_wanted(ctx, 1)
        if cotangent is None and for_z is None:
            return (None,) * (1 + len(tensors))
        if torch.is_grad_enabled():
            if for_z is None and flags[0] and not any(flags[1:]):
                made = _Gradient.apply(ctx.kernels, cotangent, z, hidden, out)  # type: ignore[no-untyped-call]
                return (None, made, *(None,) * (len(tensors) - 1))
            return None, *differentiable_gradients(readout_reference, tensors, flags, (cotangent, for_z))
        made = ctx.kernels.backward(scalars, hidden, out, z, cotangent, for_z, flags)
        for_scalars, for_hidden, for_out, turned = made
        return None, for_scalars, for_hidden, _like(out, for_out), *([turned] if added else [])


class _Gradient(torch.autograd.Function):
    """(kernels, cotangent of y, z, hidden, out) → gradient of the scalars, (γ cotangent · o · silu'(z)) Hᵀ."""

    @staticmethod
    def forward(ctx: Any, kernels: ReadoutKernels, cotangent: Tensor, z: Tensor, hidden: Tensor, out: Tensor) -> Tensor:
        ctx.kernels = kernels
        made, _, _, turned = kernels.backward(None, hidden, out, z, cotangent, None, (True, False, False))
        ctx.save_for_backward(cotangent, z, hidden, out, turned)
        assert made is not None
        return made

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:
        cotangent, z, hidden, out, turned = ctx.saved_tensors
        flags = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            inputs = (cotangent, z, hidden, out)
            return None, *differentiable_gradients(gradient_reference, inputs, flags, [direction])
        wanted = (flags[0], True, flags[2], flags[3])
        made = ctx.kernels.double_backward(hidden, out, z, cotangent, turned, direction, wanted)
        for_cotangent, for_z, for_hidden, for_out = made
        return None, for_cotangent, for_z, for_hidden, _like(out, for_out)

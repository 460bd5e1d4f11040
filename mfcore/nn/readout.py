"""The readout network as one operator, since each of its many small operations costs time in every step.

With x the scalars of an atom, H and o the matrices, and b rows that are added ::

    z = x H + b
    y = Σ_k γ silu(z_k) o_k

Two functions make it twice differentiable: :class:`_Readout`, and :class:`_Gradient`, its gradient. z is a result of
the former and an argument of the latter, so that a parameter pass goes through H once. Derivatives that a training
step never asks for are taken from plain torch, so those of any order are right.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfcore.nn.convolution.engine import all_wanted, differentiable_gradients
from mfcore.nn.update import GATE_SCALE, silu


def readout(scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None = None) -> Tensor:
    """Energy of each atom, y of :mod:`mfcore.nn.readout`; differentiable any number of times.

    Parameters
    ----------
    scalars
        x, (A, C).
    hidden
        H, (C, K).
    out
        o, (1, K) for all atoms, or (A, K).
    added
        b, (A, K), or none.

    Returns
    -------
    Tensor
        (A,).
    """
    energy: Tensor
    energy, _ = _Readout.apply(scalars, hidden, out, *([] if added is None else [added]))  # type: ignore[no-untyped-call]
    return energy


def readout_reference(scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None = None) -> list[Tensor]:
    """Compute y and z in plain torch; arguments as of :func:`readout`."""
    z = scalars @ hidden
    if added is not None:
        z = z + added
    return [(silu(z) * out).sum(1), z]


class _Readout(torch.autograd.Function):
    """(scalars, hidden, out, *added) → y, z."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        energy, z = readout_reference(*tensors)
        ctx.save_for_backward(*tensors, z)
        return energy, z

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor | None, for_z: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, z = ctx.saved_tensors
        x, hidden, out, *_ = tensors
        flags = all_wanted(ctx, 0)
        if cotangent is None and for_z is None:
            return (None,) * len(tensors)
        if torch.is_grad_enabled():
            if for_z is None and flags[0] and not any(flags[1:]):
                return (_Gradient.apply(cotangent, z, hidden, out), *(None,) * (len(tensors) - 1))  # type: ignore[no-untyped-call]
            return differentiable_gradients(readout_reference, tensors, flags, (cotangent, for_z))
        back = for_z
        for_out = None
        if cotangent is not None:
            rows = cotangent[:, None] * GATE_SCALE
            made = torch.ops.aten.silu_backward(rows * out, z)
            back = made if back is None else back + made
            if flags[2]:
                for_out = rows * torch.nn.functional.silu(z)
                for_out = for_out.sum(0, keepdim=True) if out.shape[0] == 1 else for_out
        assert back is not None
        for_x = back @ hidden.T if flags[0] else None
        return for_x, x.T @ back if flags[1] else None, for_out, *([back] if len(tensors) == 4 else [])


class _Gradient(torch.autograd.Function):
    """(cotangent of y, z, hidden, out) → gradient of the scalars, (γ cotangent · o · silu'(z)) Hᵀ."""

    @staticmethod
    def forward(ctx: Any, cotangent: Tensor, z: Tensor, hidden: Tensor, out: Tensor) -> Tensor:
        turned = torch.ops.aten.silu_backward((cotangent[:, None] * GATE_SCALE) * out, z)
        ctx.save_for_backward(cotangent, z, hidden, out, turned)
        made: Tensor = turned @ hidden.T
        return made

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:
        cotangent, z, hidden, out, turned = ctx.saved_tensors
        for_cotangent, _, with_hidden, with_out = ctx.needs_input_grad
        if torch.is_grad_enabled():
            inputs = (cotangent, z, hidden, out)
            return differentiable_gradients(_gradient_reference, inputs, ctx.needs_input_grad, [direction])
        along, rows, s = direction @ hidden, cotangent[:, None] * GATE_SCALE, torch.sigmoid(z)
        rest = 1 - s
        slope = s * torch.addcmul(torch.ones_like(z), z, rest)  # silu'
        curve = s * rest * torch.addcmul(torch.full_like(z, 2.0), z, rest - s)  # silu''
        moved = slope * along
        for_out = None
        if with_out:
            for_out = rows * moved
            for_out = for_out.sum(0, keepdim=True) if out.shape[0] == 1 else for_out
        return (
            (moved * out).sum(1) * GATE_SCALE if for_cotangent else None,
            rows * out * curve * along,
            direction.T @ turned if with_hidden else None,
            for_out,
        )


def _gradient_reference(cotangent: Tensor, z: Tensor, hidden: Tensor, out: Tensor) -> list[Tensor]:
    """What :class:`_Gradient` computes, in plain torch."""
    s = torch.sigmoid(z)
    turned = cotangent[:, None] * GATE_SCALE * out * (s * (1 + z * (1 - s)))
    return [turned @ hidden.T]

"""The readout network as one operator, since each of its many small operations costs time in every step.

With x the scalars of an atom, H and o the matrices, and b rows that are added ::

    z = x H + b
    y = Σ_k γ silu(z_k) o_k

Two functions make it twice differentiable: :class:`_Readout`, and :class:`_Gradient`, its gradient. z is a result of
the former and an argument of the latter, so that a parameter pass goes through H once. Derivatives that a training
step never asks for are taken from plain torch, so those of any order are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.select import Backend, readout_kernels
from mfbench.mfcore.ops.autograd import all_wanted, differentiable_gradients
from mfbench.mfcore.ops.node_update.op import GATE_SCALE, silu
from mfbench.mfcore.ops.protocols import ReadoutKernels


def readout(
    scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None = None, backend: Backend = "auto"
) -> Tensor:
    """Energy of each atom, y of :mod:`mfbench.mfcore.ops.readout.op`; differentiable any number of times.

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
    backend
        As of :func:`~mfbench.mfcore.ops.convolution.op.convolve`.

    Returns
    -------
    Tensor
        (A,).
    """
    kernels = readout_kernels(scalars.device, scalars.dtype, backend) or PlainReadout()
    energy: Tensor
    energy, _ = _Readout.apply(kernels, scalars, hidden, out, *([] if added is None else [added]))  # type: ignore[no-untyped-call]
    return energy


def readout_reference(scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None = None) -> list[Tensor]:
    """Compute y and z in plain torch; arguments as of :func:`readout`."""
    z = scalars @ hidden
    if added is not None:
        z = z + added
    return [(silu(z) * out).sum(1), z]


class PlainReadout:
    """The passes in plain torch; see :class:`~mfbench.mfcore.ops.protocols.ReadoutKernels`."""

    def forward(self, scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None) -> tuple[Tensor, Tensor]:
        """See :meth:`ReadoutKernels.forward`."""
        energy, z = readout_reference(scalars, hidden, out, added)
        return energy, z

    def backward(
        self,
        scalars: Tensor | None,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor | None,
        for_z: Tensor | None,
        flags: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor]:
        """See :meth:`ReadoutKernels.backward`."""
        turned, for_out = for_z, None
        if cotangent is not None:
            rows = cotangent[:, None] * GATE_SCALE
            made = torch.ops.aten.silu_backward(rows * out, z)
            turned = made if turned is None else turned + made
            for_out = rows * torch.nn.functional.silu(z) if flags[2] else None
        assert turned is not None
        for_scalars = turned @ hidden.T if flags[0] else None
        for_hidden = scalars.T @ turned if flags[1] and scalars is not None else None
        return for_scalars, for_hidden, for_out, turned

    def double_backward(
        self,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor,
        turned: Tensor,
        direction: Tensor,
        flags: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
        """See :meth:`ReadoutKernels.double_backward`."""
        along, rows, s = direction @ hidden, cotangent[:, None] * GATE_SCALE, torch.sigmoid(z)
        rest = 1 - s
        slope = s * torch.addcmul(torch.ones_like(z), z, rest)  # silu'
        curve = s * rest * torch.addcmul(torch.full_like(z, 2.0), z, rest - s)  # silu''
        moved = slope * along
        return (
            (moved * out).sum(1) * GATE_SCALE if flags[0] else None,
            rows * out * curve * along,
            direction.T @ turned if flags[2] else None,
            rows * moved if flags[3] else None,
        )


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
            return None, *differentiable_gradients(_gradient_reference, inputs, flags, [direction])
        wanted = (flags[0], True, flags[2], flags[3])
        made = ctx.kernels.double_backward(hidden, out, z, cotangent, turned, direction, wanted)
        for_cotangent, for_z, for_hidden, for_out = made
        return None, for_cotangent, for_z, for_hidden, _like(out, for_out)


def _gradient_reference(cotangent: Tensor, z: Tensor, hidden: Tensor, out: Tensor) -> list[Tensor]:
    """What :class:`_Gradient` computes, in plain torch."""
    s = torch.sigmoid(z)
    turned = cotangent[:, None] * GATE_SCALE * out * (s * (1 + z * (1 - s)))
    return [turned @ hidden.T]

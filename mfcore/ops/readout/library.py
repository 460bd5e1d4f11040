"""``mfbench::readout`` and its gradient; see :mod:`mfbench.mfcore.ops.library`.

``mfbench::readout_backward`` has no derivatives: a loss on forces is for eager code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.select import kernels_for
from mfbench.mfcore.ops.readout.protocol import ReadoutKernels
from mfbench.mfcore.ops.readout.reference import PlainReadout

_GIVEN = "Tensor scalars, Tensor hidden, Tensor out, Tensor? added"


def _kernels(like: Tensor, backend: Backend) -> ReadoutKernels:
    return kernels_for(backend, like).readout or PlainReadout()


@torch.library.custom_op("mfbench::readout", mutates_args=(), schema=f"({_GIVEN}, str backend) -> (Tensor, Tensor)")
def readout_op(
    scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None, backend: Backend
) -> tuple[Tensor, Tensor]:
    """Energy of each atom y (A,), and z (A, K), of :mod:`mfbench.mfcore.ops.readout.op`."""
    energy, z = _kernels(scalars, backend).forward(scalars, hidden, out, added)
    return energy, z


@torch.library.custom_op(
    "mfbench::readout_backward",
    mutates_args=(),
    schema="(Tensor scalars, Tensor hidden, Tensor out, Tensor z, Tensor cotangent, Tensor for_z, str backend)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
)
def readout_backward_op(
    scalars: Tensor, hidden: Tensor, out: Tensor, z: Tensor, cotangent: Tensor, for_z: Tensor, backend: Backend
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of scalars, hidden, out (of each atom) and added rows."""
    made = _kernels(z, backend).backward(scalars, hidden, out, z, cotangent, for_z, (True, True, True))
    for_scalars, for_hidden, for_out, turned = made
    assert for_scalars is not None
    assert for_hidden is not None
    assert for_out is not None
    return for_scalars, for_hidden, for_out, turned


@readout_op.register_fake
def _(scalars: Tensor, hidden: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    n = scalars.shape[0]
    return scalars.new_empty(n), scalars.new_empty(n, hidden.shape[1])


@readout_backward_op.register_fake
def _(scalars: Tensor, hidden: Tensor, out: Tensor, z: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    first, second = z.new_empty(scalars.shape), z.new_empty(hidden.shape)
    return first, second, z.new_empty(z.shape), z.new_empty(z.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    scalars, hidden, out, _, ctx.backend = inputs
    ctx.save_for_backward(scalars, hidden, out, output[1])


def _backward(ctx: Any, cotangent: Tensor, for_z: Tensor) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors
    for_scalars, for_hidden, for_out, turned = readout_backward_op(*tensors, cotangent, for_z, ctx.backend)
    if tensors[2].shape[0] == 1:  # one row of all atoms
        for_out = for_out.sum(0, keepdim=True)
    return for_scalars, for_hidden, for_out, turned if ctx.needs_input_grad[3] else None, None


readout_op.register_autograd(_backward, setup_context=_keep)

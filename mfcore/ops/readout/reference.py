"""The readout in plain torch: any device and dtype, and any order of derivative."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfbench.mfcore.ops.activations import GATE_SCALE, silu


def readout_reference(scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None = None) -> list[Tensor]:
    """Compute y and z in plain torch; arguments as of :func:`~mfbench.mfcore.ops.readout.op.readout`."""
    z = scalars @ hidden
    if added is not None:
        z = z + added
    return [(silu(z) * out).sum(1), z]


class PlainReadout:
    """The passes in plain torch; see :class:`~mfbench.mfcore.ops.readout.protocol.ReadoutKernels`."""

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


def gradient_reference(cotangent: Tensor, z: Tensor, hidden: Tensor, out: Tensor) -> list[Tensor]:
    """The gradient (A, C) of the scalars, (γ cotangent · o · silu'(z)) Hᵀ."""
    s = torch.sigmoid(z)
    turned = cotangent[:, None] * GATE_SCALE * out * (s * (1 + z * (1 - s)))
    return [turned @ hidden.T]

"""Kernels of the readout.

A is the number of atoms, C of their scalars and K of hidden numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class ReadoutKernels(Protocol):
    """The readout in one dtype; shapes as of :func:`~mfbench.mfcore.ops.readout.op.readout`.

    Tensors may have gaps; results are new ones, and should repeat bit for bit for the same inputs. With cotangents g of
    y and e of z, t = e + g γ o silu'(z) is the gradient of what enters the activation.
    """

    def forward(self, scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None, /) -> tuple[Tensor, Tensor]:
        """Compute y, (A,), and z, (A, K)."""

    def backward(
        self,
        scalars: Tensor | None,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor | None,
        for_z: Tensor | None,
        flags: Sequence[bool],
        /,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor]:
        """Compute gradients of scalars, H and o, those that the flags ask for, and t, (A, K).

        That of o is for each atom, (A, K), also if all atoms share o. `cotangent` is g (A,), `for_z` is e (A, K), one
        of which may be None for zero. The scalars are read for the gradient of H only.
        """

    def double_backward(
        self,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor,
        turned: Tensor,
        direction: Tensor,
        flags: Sequence[bool],
        /,
    ) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
        """Compute gradients of D = Σ direction · (t Hᵀ) for e = 0 with respect to g, z, H and o (of each atom).

        `turned` is t, (A, K), `direction` is (A, C). Flags for each of the four; that of z is not looked at.
        """

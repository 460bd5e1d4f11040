"""Kernels between atoms and edges."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from mfbench.mfcore.ops.edges import Edges


class EdgeKernels(Protocol):
    """Sums and differences of three numbers per atom or edge, in one dtype; they repeat bit for bit."""

    def differences(self, first: Tensor, second: Tensor, atoms: Tensor, added: Tensor | None, out: Tensor, /) -> None:
        """With (E,) int64 of atoms x (N, 3): write x[first] - x[second] + added to `out`, (E, 3); added: (E, 3)."""

    def sums(self, edges: Edges, per_edge: Tensor, out: Tensor, /) -> None:
        """Of g (E, 3): write Σ g of the edges into each atom less Σ g of those that leave it, (N, 3), to `out`."""

"""Between atoms and edges in plain torch: any device and dtype, and any order of derivative."""

from __future__ import annotations

from torch import Tensor

from mfbench.mfcore.ops.edges import Edges


def differences_reference(positions: Tensor, edges: Edges, shift: Tensor) -> Tensor:
    """r_sender - r_receiver + shift, (E, 3) Å, of positions (A, 3) and shifts (E, 3)."""
    vectors = positions.index_select(0, edges.sender)
    return vectors.sub_(positions.index_select(0, edges.receiver)).add_(shift)


def sums_reference(gradient: Tensor, edges: Edges) -> Tensor:
    """Σ g (E, 3) of the edges into each atom less Σ g of those that leave it, (A, 3)."""
    force = gradient.new_zeros(edges.n_atoms, 3).index_add(0, edges.receiver, gradient)
    return force.index_add(0, edges.sender, gradient, alpha=-1)

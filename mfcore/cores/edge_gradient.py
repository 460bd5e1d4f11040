"""Forces and stress of any core whose geometry reaches the energy through its edge vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from mfbench.mfcore.backends.select import Backend, Kernels
from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.ops.edge_sums.op import atom_forces
from mfbench.mfcore.ops.edges import Edges


def output_of_edges(
    energy: Tensor,
    gradient: Tensor,
    vectors: Tensor,
    batch: Batch,
    edges: Edges,
    forces: bool,
    stress: bool,
    backend: Backend | Kernels = "auto",
) -> CoreOutput:
    """Forces and stress from the gradient of the energy with respect to the edge vectors.

    All geometry reaches the energy through the edge vectors, so both forces and the strain derivative
    are sums of one gradient: F_i from the edges at i, and σ = Σ_e ∂E/∂r_e ⊗ r_e / V.

    Parameters
    ----------
    energy
        (B,) eV.
    gradient
        (E, 3) eV/Å.
    vectors
        (E, 3) Å, sender less receiver.
    batch
        Graph.
    edges
        Of the graph.
    forces, stress
        What to compute.
    backend
        What sums over the edges.
    """
    force = stresses = None
    if forces:
        force = atom_forces(gradient, edges, backend)
    if stress:
        virial = gradient.new_zeros(batch.n_frames, 9).index_add(
            0,
            batch.frame.index_select(0, batch.receiver),
            (gradient[:, :, None] * vectors[:, None, :]).reshape(-1, 9),
        )
        virial = virial.view(-1, 3, 3)
        # a molecule's NaN must not reach the gradients of the other frames, as a division by its volume would
        periodic = torch.isfinite(batch.volume)[:, None, None]
        volume = torch.where(periodic, batch.volume[:, None, None], 1.0)
        stresses = torch.where(periodic, 0.5 * (virial + virial.transpose(1, 2)) / volume, torch.nan)
    return CoreOutput(energy, force, stresses)

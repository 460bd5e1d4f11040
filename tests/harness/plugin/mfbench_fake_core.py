"""A core as another package would bring it: a network on symmetry functions of pairs (Behler and Parrinello 2007).

It has no heads and no one-hot, so that some arms cannot use it, and it can start from stored weights.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from mfbench.mfcore.core import Core, CoreConfig, CoreOutput
from mfbench.mfcore.cores.edge_gradient import output_of_edges
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.training.checkpoint import load_tensors


class PairConfig(CoreConfig):
    """Settings of the pair network."""

    n_radial: int = Field(8, ge=1, description="Gaussians of the distance.")
    hidden: int = Field(16, ge=1, description="Hidden width.")


class PairCore(Core):
    """Energies of atoms by one hidden layer on sums of Gaussians over the neighbours of each element."""

    name: ClassVar[str] = "fake_pair"
    summary: ClassVar[str] = "symmetry functions of pairs, one hidden layer"
    Config: ClassVar[type[CoreConfig]] = PairConfig
    conditionings: ClassVar[tuple[str, ...]] = ("none", "embedding")

    def __init__(self, config, species, fidelities, conditioning="none", mean_neighbours=20.0):
        super().__init__(config, species, fidelities, conditioning, mean_neighbours)
        n, width = len(self.species), config.hidden
        self.inward = nn.Parameter(torch.randn(n * config.n_radial, width) / math.sqrt(config.n_radial))
        self.elements = nn.Parameter(torch.randn(n, width))
        self.levels = None
        if conditioning == "embedding":
            self.levels = nn.Parameter(0.1 * torch.randn(len(self.fidelities), width))
        self.out = nn.Parameter(torch.randn(width) / math.sqrt(width))
        centres = torch.linspace(0.5, config.cutoff, config.n_radial, dtype=torch.float64)
        self.register_buffer("centres", centres, persistent=False)

    @classmethod
    def from_checkpoint(cls, checkpoint, config, species, fidelities, conditioning, mean_neighbours):
        """Start with the matrices of another one, whose elements and widths are the same."""
        made = cls(config, species, fidelities, conditioning, mean_neighbours)
        tensors, _ = load_tensors(checkpoint.path)
        made.load_state_dict({name: tensors[name] for name in ("inward", "elements", "out")}, strict=False)
        return made

    def groups_of(self, parameter: str) -> tuple[str, ...]:
        if parameter == "out":
            return ("readout",)
        return ("trunk", "fidelity") if parameter == "levels" else ("trunk",)

    def forward(self, batch, forces=True, stress=False, create_graph=False) -> CoreOutput:
        wanted = forces or stress
        ends = (batch.positions.index_select(0, end) for end in (batch.sender, batch.receiver))
        vectors = (next(ends) - next(ends) + batch.shift).detach().requires_grad_(wanted)
        with torch.set_grad_enabled(wanted or torch.is_grad_enabled()):
            energy = self.frame_energies(self._atomic(vectors, batch), batch)
            if not wanted:
                return CoreOutput(energy, None, None)
            (gradient,) = torch.autograd.grad(energy.sum(), vectors, create_graph=create_graph)
        energy = energy if create_graph else energy.detach()
        edges = Edges(len(batch.positions), batch.sender, batch.receiver, batch.row_pointer)
        return output_of_edges(energy, gradient, vectors.detach(), batch, edges, forces, stress, "reference")

    def _atomic(self, vectors, batch):
        distance = vectors.norm(dim=1)[:, None]
        inside = 0.5 * (1 + torch.cos(torch.pi * (distance / self.cutoff).clamp(max=1)))
        width = self.cutoff / self.config.n_radial
        radial = inside * torch.exp(-(((distance - self.centres) / width) ** 2))
        n_species, n_atoms = len(self.species), len(batch.positions)
        row = batch.receiver * n_species + batch.species.index_select(0, batch.sender)
        sums = radial.new_zeros(n_atoms * n_species, radial.shape[1]).index_add(0, row, radial)
        hidden = sums.view(n_atoms, -1) @ self.inward / math.sqrt(self.mean_neighbours)
        hidden = hidden + self.elements.index_select(0, batch.species)
        if self.levels is not None:
            level = batch.fidelity.index_select(0, batch.frame)
            hidden = hidden + self.levels.index_select(0, level)
        return torch.nn.functional.silu(hidden) @ self.out

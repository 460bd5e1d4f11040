"""A core of atomic networks on radial symmetry functions (Behler and Parrinello, PRL 98, 146401, 2007, eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from mfbench.mfcore.core import READOUT, TRUNK, Conditioning, Core, CoreConfig, CoreOutput
from mfbench.mfcore.cores.edge_gradient import output_of_edges
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.ops.edges import Edges


class SymmetryFunctionConfig(CoreConfig):
    """Settings of the core."""

    n_radial: int = Field(8, ge=2, description="Gaussians between 0.5 Å and the cutoff.")
    hidden: int = Field(16, ge=1, description="Hidden width of the atomic networks.")


class SymmetryFunctionCore(Core):
    """Sums of Gaussians of distances, for each pair of elements, through one network for each element."""

    name: ClassVar[str] = "symmetry_functions"
    summary: ClassVar[str] = "atomic networks on radial symmetry functions (Behler and Parrinello 2007)"
    Config: ClassVar[type[CoreConfig]] = SymmetryFunctionConfig
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("none", "heads")

    def __init__(
        self,
        config: SymmetryFunctionConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        mean_neighbours: float = 20.0,
    ) -> None:
        super().__init__(config, species, fidelities, conditioning, mean_neighbours)
        n, heads = len(self.species), len(self.fidelities) if conditioning == "heads" else 1
        self.register_buffer("centres", torch.linspace(0.5, config.cutoff, config.n_radial))
        n_inputs = n * config.n_radial
        self.inner = nn.Parameter(torch.randn(n, n_inputs, config.hidden) / n_inputs**0.5)
        self.bias = nn.Parameter(torch.randn(n, config.hidden))
        self.readout = nn.Parameter(torch.randn(heads, n, config.hidden) / config.hidden**0.5)

    def groups_of(self, parameter: str) -> tuple[str, ...]:
        """Group of a parameter: the last matrices are the readout."""
        return (READOUT,) if parameter == "readout" else (TRUNK, f"{TRUNK}.0")

    def expand_heads(self) -> Self:
        """One readout for each fidelity, all as the present one."""
        if self.conditioning != "none":
            return super().expand_heads()
        made = type(self)(self.config, self.species, self.fidelities, "heads", self.mean_neighbours)
        made = made.to(device=self.device, dtype=self.dtype)
        state = self.state_dict()
        state["readout"] = state["readout"].repeat(len(self.fidelities), 1, 1)
        made.load_state_dict(state)
        made.train_offsets(self.reference_shift.requires_grad)
        return made

    def forward(
        self, batch: Batch, forces: bool = True, stress: bool = False, create_graph: bool = False
    ) -> CoreOutput:
        """Energies, forces and stress of a batch."""
        edges = Edges(batch.positions.shape[0], batch.sender, batch.receiver, batch.row_pointer)
        vectors = batch.positions[batch.sender] - batch.positions[batch.receiver] + batch.shift
        vectors = vectors.detach().requires_grad_(forces or stress)
        with torch.set_grad_enabled(forces or stress or torch.is_grad_enabled()):
            energy = self.frame_energies(self._atomic(batch, vectors), batch)
            if not (forces or stress):
                return CoreOutput(energy, None, None)
            (gradient,) = torch.autograd.grad(energy.sum(), vectors, create_graph=create_graph)
        energy = energy if create_graph else energy.detach()
        return output_of_edges(energy, gradient, vectors.detach(), batch, edges, forces, stress)

    def _atomic(self, batch: Batch, vectors: Tensor) -> Tensor:
        """Energy of each atom in units of its scale, (A,)."""
        config: SymmetryFunctionConfig = self.config
        distance = vectors.norm(dim=1)
        x = (distance / config.cutoff).clamp(max=1.0)
        window = (1.0 - x**2) ** 3  # smooth at the cutoff, as its first two derivatives are
        width = (config.cutoff - 0.5) / config.n_radial
        gaussians = torch.exp(-(((distance[:, None] - self.centres) / width) ** 2)) * window[:, None]
        n, place = len(self.species), batch.receiver * len(self.species) + batch.species[batch.sender]
        sums = gaussians.new_zeros(len(batch.positions) * n, config.n_radial).index_add(0, place, gaussians)
        inputs = sums.view(len(batch.positions), 1, -1)
        hidden = torch.tanh(inputs @ self.inner[batch.species] + self.bias[batch.species][:, None])
        head = batch.fidelity[batch.frame] if self.conditioning == "heads" else torch.zeros_like(batch.species)
        return (hidden[:, 0] * self.readout[head, batch.species]).sum(1)

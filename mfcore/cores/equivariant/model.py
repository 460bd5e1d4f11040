"""The shared E(3)-equivariant message-passing potential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mfbench.mfcore.backends.select import Kernels, kernels_for
from mfbench.mfcore.cores.equivariant.activation_checkpointing import recomputed
from mfbench.mfcore.cores.equivariant.config import CoreConfig
from mfbench.mfcore.cores.equivariant.inference.core import FrozenCore
from mfbench.mfcore.cores.equivariant.inference.edges import DIFFERENTIABLE
from mfbench.mfcore.cores.equivariant.layers import ConditionedReadout, Interaction, MultiHeadReadout
from mfbench.mfcore.cores.equivariant.output import CoreOutput
from mfbench.mfcore.cores.equivariant.zbl import ZBLRepulsion
from mfbench.mfcore.data.graphs import Batch
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import Layout
from mfbench.mfcore.ops.edge_sums.op import edge_vectors
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.geometry.op import edge_geometry
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups
from mfbench.mfcore.ops.radial.functions import RadialSettings
from mfbench.mfcore.ops.radial.network import radial_tables
from mfbench.mfcore.ops.radial.table import RadialTable

__all__ = ["Conditioning", "CoreOutput", "EquivariantCore"]

Conditioning = Literal["none", "one_hot", "heads"]


class EquivariantCore(nn.Module):
    """Per-atom energies from equivariant messages; forces and stress are derivatives of their sum.

    Parameters
    ----------
    config
        Shape of the network.
    species
        Atomic numbers.
    fidelities
        Names, in the order of the batch's fidelity index.
    conditioning
        How the fidelity enters: not at all, as a one-hot on the scalar channels of all self-interactions
        and the readout, or as one readout head each.
    mean_neighbours
        Mean number of edges per atom in the training set.

    Attributes
    ----------
    recompute
        Keep only what goes in and out of a layer where derivatives are wanted, and compute the rest again.
    """

    reference: Tensor
    scale: Tensor

    def __init__(
        self,
        config: CoreConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        mean_neighbours: float = 20.0,
    ) -> None:
        super().__init__()
        self.config, self.species, self.fidelities = config, tuple(species), tuple(fidelities)
        self.conditioning: Conditioning = conditioning
        self.recompute = False
        self.mean_neighbours = float(mean_neighbours)
        rows = len(self.fidelities) if conditioning == "one_hot" else 0
        width = config.channels_of(0)
        self.embedding = nn.Parameter(torch.randn(len(self.species), width))
        layout: Layout = ((0, 1, width),)
        self.layers = nn.ModuleList()
        self.radial_settings: RadialSettings
        for number in range(config.n_layers):
            layer = Interaction(
                layout,
                config,
                len(self.species),
                rows,
                first=number == 0,
                last=number == config.n_layers - 1,
                mean_neighbours=self.mean_neighbours,
            )
            self.layers.append(layer)
            self.radial_settings = layer.radial.settings  # the same in all layers
            layout = layer.output_layout
        kind: type[ConditionedReadout | MultiHeadReadout]
        if conditioning == "heads":
            kind, count = MultiHeadReadout, len(self.fidelities)
        else:
            kind, count = ConditionedReadout, rows
        self.readout = kind(width, config.readout_hidden, count, config.readout_scale)
        self.repulsion = ZBLRepulsion(self.species) if config.zbl else None
        shape = (len(self.fidelities), len(self.species))
        self.register_buffer("reference", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(shape, dtype=torch.float64))
        self.reference_shift = nn.Parameter(torch.zeros(shape), requires_grad=False)

    def freeze(self) -> EquivariantCore:
        """Make it a fixed function: no parameter asks for a gradient, and radial tables are made only once."""
        self.eval()
        self.requires_grad_(False)
        return self

    def frozen(self, fidelity: str) -> FrozenCore:
        """One fidelity of the present weights as a fixed function for inference: same answers, faster."""
        return FrozenCore(self, fidelity)

    def description(self) -> dict[str, Any]:
        """Arguments that build the same network again, as plain JSON values."""
        return {
            "config": self.config.model_dump(mode="json"),
            "species": list(self.species),
            "fidelities": list(self.fidelities),
            "conditioning": self.conditioning,
            "mean_neighbours": self.mean_neighbours,
        }

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> EquivariantCore:
        """Build the network that :meth:`description` describes; weights are random."""
        values = dict(description)
        return cls(config=CoreConfig(**values.pop("config")), **values)

    def with_heads(self) -> EquivariantCore:
        """The same function with one readout per fidelity, all starting from the present one.

        Raises
        ------
        ConfigError
            If the network is conditioned already.
        """
        if not isinstance(self.readout, ConditionedReadout) or self.conditioning != "none":
            raise ConfigError(f"a '{self.conditioning}' network cannot be given heads.")
        made = EquivariantCore(self.config, self.species, self.fidelities, "heads", self.mean_neighbours)
        made = made.to(device=self.embedding.device, dtype=self.embedding.dtype)
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("readout.")}
        count = len(self.fidelities)
        state["readout.hidden"] = self.readout.hidden.detach().repeat(1, count)
        state["readout.out"] = self.readout.out.detach().T.repeat(count, 1)
        made.load_state_dict(state)
        made.reference_shift.requires_grad_(self.reference_shift.requires_grad)
        return made

    def to(self, *args: Any, **kwargs: Any) -> EquivariantCore:
        """As torch's, but reference energies and scales stay float64: they may be 10⁴ eV."""
        reference, scale = self.reference.clone(), self.scale.clone()
        super().to(*args, **kwargs)
        self.reference, self.scale = reference.to(self.embedding.device), scale.to(self.embedding.device)
        return self

    def reference_energy(self, batch: Batch) -> Tensor:
        """Sum of E0 over the atoms of each frame, (B,) eV, float64."""
        label = batch.fidelity.index_select(0, batch.frame) * len(self.species) + batch.species
        per_atom = self.reference.view(-1).index_select(0, label)
        return torch.zeros(batch.n_frames, dtype=torch.float64, device=per_atom.device).index_add(
            0, batch.frame, per_atom
        )

    def forward(
        self,
        batch: Batch,
        forces: bool = True,
        stress: bool = False,
        create_graph: bool = False,
        tf32: bool = False,
    ) -> CoreOutput:
        """Energies, forces and stress of a batch, see :class:`~mfbench.mfcore.cores.equivariant.output.CoreOutput`.

        Parameters
        ----------
        batch
            Graph, in the core's dtype and on its device.
        forces, stress
            What to compute beside the energy.
        create_graph
            Keep the graph so that a loss on forces or stress can be differentiated.
        tf32
            Multiply features with matrices in TF32, here and in all derivatives; see
            :mod:`mfbench.mfcore.ops.node_update.tf32`.
        """
        differentiate = forces or stress
        kernels = kernels_for(self.config.backend, batch.positions, self.radial_settings.mode == "table")
        edges = Edges(batch.positions.shape[0], batch.sender, batch.receiver, batch.row_pointer)
        vectors = edge_vectors(batch.positions, edges, batch.shift, kernels)
        vectors.requires_grad_(differentiate)
        with torch.set_grad_enabled(differentiate or torch.is_grad_enabled()):
            energy = self._energy(batch, vectors, edges, kernels, tf32)
            if not differentiate:
                return CoreOutput(energy, None, None)
            (gradient,) = torch.autograd.grad(energy.sum(), vectors, create_graph=create_graph)
        if not create_graph:
            energy = energy.detach()
        return CoreOutput.of_edges(energy, gradient, vectors.detach(), batch, edges, forces, stress, kernels)

    def _energy(self, batch: Batch, vectors: Tensor, edges: Edges, kernels: Kernels, tf32: bool) -> Tensor:
        """Interaction energy of each frame, (B,) eV."""
        atom_fidelity = batch.fidelity.index_select(0, batch.frame)
        geometry = edge_geometry(vectors, edges, self.config.lmax, self.radial_settings, kernels)
        one_hot = vectors.new_empty(0)  # nobody reads it
        if self.conditioning != "none":
            one_hot = torch.nn.functional.one_hot(atom_fidelity, len(self.fidelities)).to(vectors.dtype)[:, None, :]
        layers = [layer for layer in self.layers if isinstance(layer, Interaction)]
        groups = SpeciesGroups(batch.species, layers[0].n_matrices)
        features: list[Tensor] = []
        mixed, added = layers[0].start(self.embedding, batch.species, one_hot)
        again = self.recompute and torch.is_grad_enabled()
        tables: list[RadialTable] = []
        if not again and self.radial_settings.mode == "table":
            tables = radial_tables([layer.radial for layer in layers])
        for layer, following, table in zip_longest(layers, layers[1:], tables):
            evaluate = partial(layer, kernels, table=table, tf32=tf32)
            if again:
                evaluate = partial(_recomputed, layer, kernels, tf32)
            features, mixed = evaluate(mixed, features, added, geometry, groups, one_hot, following)
            added = None
        atomic = self.readout(features[0], one_hot, kernels)
        scale = self.scale.to(atomic.dtype).view(-1)
        label = atom_fidelity * len(self.species) + batch.species
        shift = self.reference_shift.view(-1).index_select(0, label)
        atomic = torch.addcmul(shift, atomic, scale.index_select(0, label))
        energy = torch.zeros(batch.n_frames, dtype=atomic.dtype, device=atomic.device).index_add(0, batch.frame, atomic)
        if self.repulsion is not None:
            pair = self.repulsion(
                vectors.norm(dim=1),
                batch.species.index_select(0, batch.sender),
                batch.species.index_select(0, batch.receiver),
            )
            energy = energy.index_add(0, batch.frame.index_select(0, batch.receiver), pair)
        return energy


def _recomputed(
    layer: Interaction,
    kernels: Kernels,
    tf32: bool,
    mixed: Sequence[Tensor],
    features: Sequence[Tensor],
    added: Tensor | None,
    geometry: EdgeGeometry,
    groups: SpeciesGroups,
    fidelity: Tensor,
    following: Interaction | None,
) -> tuple[list[Tensor], list[Tensor]]:
    """The layer, of which nothing inside is kept; arguments and results are those of its `forward`."""
    names = [name for name in DIFFERENTIABLE if getattr(geometry, name) is not None]
    n, m = len(mixed), len(mixed) + len(features)
    last = m if added is None else m + 1

    def part(inputs: Sequence[Tensor]) -> list[Tensor]:
        edges: Any = dict(zip(names, inputs[last:], strict=True))
        rows = None if added is None else inputs[m]
        result, following_mixed = layer(
            kernels, inputs[:n], inputs[n:m], rows, replace(geometry, **edges), groups, fidelity, following, tf32=tf32
        )
        return [*result, *following_mixed]

    given = [*mixed, *features, *([] if added is None else [added]), *[getattr(geometry, name) for name in names]]
    made = recomputed(part, given, [*layer.parameters(), *(following.entry_parameters() if following else [])])
    return made[: layer.shape.n_out], made[layer.shape.n_out :]

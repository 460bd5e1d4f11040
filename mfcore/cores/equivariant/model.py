"""The shared E(3)-equivariant message-passing potential."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mfbench.mfcore.backends.select import Backend, Kernels
from mfbench.mfcore.core import (
    FIDELITY,
    LAST,
    READOUT,
    TRUNK,
    Checkpoint,
    Conditioning,
    Core,
    CoreConfig,
    CoreOutput,
    InferenceCore,
)
from mfbench.mfcore.cores.edge_gradient import output_of_edges
from mfbench.mfcore.cores.equivariant.activation_checkpointing import recomputed
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.inference.core import FrozenCore
from mfbench.mfcore.cores.equivariant.inference.edges import DIFFERENTIABLE
from mfbench.mfcore.cores.equivariant.layers import ConditionedReadout, Interaction, MultiHeadReadout
from mfbench.mfcore.cores.equivariant.start import network_of, start_as
from mfbench.mfcore.cores.equivariant.zbl import ZBLRepulsion
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import Layout
from mfbench.mfcore.ops.edge_sums.op import edge_vectors
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.geometry.op import edge_geometry
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.library import kernels_or_name
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups
from mfbench.mfcore.ops.radial.functions import RadialSettings
from mfbench.mfcore.ops.radial.network import radial_tables
from mfbench.mfcore.ops.radial.table import RadialTable
from mfbench.mfcore.ops.tracing import traced


class EquivariantCore(Core):
    """Per-atom energies from equivariant messages; forces and stress are derivatives of their sum.

    "one_hot" adds rows of the fidelity to the scalar channels of all self-interactions and of the readout, "embedding"
    the same through a learned vector of each fidelity, "heads" has one readout network each. With
    `activation_checkpointing`, only what goes in and out of a layer is kept where derivatives are wanted. Parameters
    are those of :class:`mfbench.mfcore.core.Core`.
    """

    name: ClassVar[str] = "equivariant"
    bytes_per_atom: ClassVar[float] = 4e4
    summary: ClassVar[str] = "E(3)-equivariant message passing after NequIP, with kernels of its own"
    Config: ClassVar[type[CoreConfig]] = EquivariantConfig
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("none", "one_hot", "heads", "embedding")
    options: ClassVar[frozenset[str]] = frozenset({"tf32", "activation_checkpointing"})

    config: EquivariantConfig

    def __init__(
        self,
        config: EquivariantConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        mean_neighbours: float = 20.0,
    ) -> None:
        super().__init__(config, species, fidelities, conditioning, mean_neighbours)
        rows = {"one_hot": len(self.fidelities), "embedding": config.fidelity_channels}.get(conditioning, 0)
        width = config.channels_of(0)
        self.embedding = nn.Parameter(torch.randn(len(self.species), width))
        # behind the embedding: the last bits of a gradient's norm depend on the order of the parameters
        shift = self.reference_shift
        del self.reference_shift
        self.reference_shift = shift
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
        self.fidelity_vectors: nn.Parameter | None = None
        if conditioning == "embedding":  # the rows that come out are as large as those of "one_hot"
            self.fidelity_vectors = nn.Parameter(torch.randn(len(self.fidelities), rows) / math.sqrt(rows))
        self.repulsion = ZBLRepulsion(self.species) if config.zbl else None

    @classmethod
    def cutoff_of(cls, config: CoreConfig, checkpoint: Checkpoint | None = None) -> float:
        """Cutoff in Å: the checkpoint's, or that of the settings."""
        return config.cutoff if checkpoint is None else network_of(checkpoint, cls.name)[0].cutoff

    @classmethod
    def elements_of(cls, checkpoint: Checkpoint) -> tuple[int, ...]:
        """Atomic numbers that a potential which `mfbench fit` wrote was trained on."""
        return network_of(checkpoint, cls.name)[0].species

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        config: CoreConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning,
        mean_neighbours: float,
    ) -> Self:
        """A network that starts as that of a potential which `mfbench fit` wrote; its shape goes before the settings'.

        Raises
        ------
        ConfigError
            If the potential has no single network of this core for its fidelity, or lacks an element.
        """
        source, fidelity = network_of(checkpoint, cls.name)
        assert isinstance(source, cls)
        assert isinstance(config, EquivariantConfig)
        shape = source.config.model_copy(update={"backend": config.backend})
        made = cls(shape, species, fidelities, conditioning, source.mean_neighbours)
        start_as(made, source, fidelity)
        return made

    @classmethod
    def difference_config(cls, config: CoreConfig) -> CoreConfig:
        """The same without the nuclei's repulsion."""
        return config.model_copy(update={"zbl": False})

    def groups_of(self, parameter: str) -> tuple[str, ...]:
        """Embedding and layers are the trunk's parts; rows of the fidelity are where they are added."""
        part, _, rest = parameter.partition(".")
        fidelity = (FIDELITY,) if ".bias_" in parameter else ()
        if part == "fidelity_vectors":
            return (TRUNK, f"{TRUNK}.0", FIDELITY)
        if part == "readout":
            return (READOUT, *((LAST,) if rest == "out" else ()), *fidelity)
        number = 0 if part == "embedding" else 1 + int(rest.partition(".")[0])
        return (TRUNK, f"{TRUNK}.{number}", *fidelity)

    def fidelity_vector(self, fidelity: str) -> Tensor:
        """The vector of a fidelity that matrices of rows are multiplied with: its one-hot, or a learned one."""
        row = self.row(fidelity)
        if self.fidelity_vectors is not None:
            return self.fidelity_vectors.detach()[row].clone()
        return torch.eye(len(self.fidelities), device=self.device, dtype=self.dtype)[row]

    def for_inference(self, fidelity: str, species: Sequence[int] | None = None) -> InferenceCore:
        """One fidelity of the present weights as a fixed function: same answers, faster."""
        return FrozenCore(self, fidelity, species)

    def expand_heads(self) -> Self:
        """The same function with one readout per fidelity, all starting from the present one.

        Raises
        ------
        ConfigError
            If the network is conditioned already.
        """
        if not isinstance(self.readout, ConditionedReadout) or self.conditioning != "none":
            raise ConfigError(f"a '{self.conditioning}' network cannot be given heads.")
        made = type(self)(self.config, self.species, self.fidelities, "heads", self.mean_neighbours)
        made = made.to(device=self.device, dtype=self.dtype)
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("readout.")}
        count = len(self.fidelities)
        state["readout.hidden"] = self.readout.hidden.detach().repeat(1, count)
        state["readout.out"] = self.readout.out.detach().T.repeat(count, 1)
        made.load_state_dict(state)
        made.reference_shift.requires_grad_(self.reference_shift.requires_grad)
        return made

    def forward(
        self,
        batch: Batch,
        forces: bool = True,
        stress: bool = False,
        create_graph: bool = False,
        tf32: bool = False,
        activation_checkpointing: bool = False,
    ) -> CoreOutput:
        """Energies, forces and stress of a batch, see :class:`mfbench.mfcore.core.CoreOutput`.

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
        activation_checkpointing
            Compute layers again on the way back; see
            :mod:`mfbench.mfcore.cores.equivariant.activation_checkpointing`.
        """
        differentiate = forces or stress
        kernels = kernels_or_name(self.config.backend, batch.positions, self.radial_settings.mode == "table")
        edges = Edges(batch.positions.shape[0], batch.sender, batch.receiver, batch.row_pointer)
        vectors = edge_vectors(batch.positions, edges, batch.shift, kernels)
        vectors.requires_grad_(differentiate)
        with torch.set_grad_enabled(differentiate or torch.is_grad_enabled()):
            energy = self._energy(batch, vectors, edges, kernels, tf32, activation_checkpointing)
            if not differentiate:
                return CoreOutput(energy, None, None)
            (gradient,) = torch.autograd.grad(energy.sum(), vectors, create_graph=create_graph)
        if not create_graph:
            energy = energy.detach()
        return output_of_edges(energy, gradient, vectors.detach(), batch, edges, forces, stress, kernels)

    def _energy(
        self, batch: Batch, vectors: Tensor, edges: Edges, kernels: Backend | Kernels, tf32: bool, checkpointing: bool
    ) -> Tensor:
        """Interaction energy of each frame, (B,) eV."""
        atom_fidelity = batch.fidelity.index_select(0, batch.frame)
        geometry = edge_geometry(vectors, edges, self.config.lmax, self.radial_settings, kernels)
        one_hot = vectors.new_empty(0)  # nobody reads it
        if self.conditioning != "none":
            one_hot = torch.nn.functional.one_hot(atom_fidelity, len(self.fidelities)).to(vectors.dtype)[:, None, :]
        if self.fidelity_vectors is not None:
            one_hot = one_hot @ self.fidelity_vectors
        layers = [layer for layer in self.layers if isinstance(layer, Interaction)]
        groups = SpeciesGroups(batch.species, layers[0].n_matrices, batch.species_counts, whole=traced())
        features: list[Tensor] = []
        mixed, added = layers[0].start(self.embedding, batch.species, one_hot)
        again = checkpointing and torch.is_grad_enabled()
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
        energy = self.frame_energies(atomic, batch)
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
    kernels: Backend | Kernels,
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
        edges: Any = dict(zip(names, inputs[last:-1], strict=True))
        rows = None if added is None else inputs[m]
        result, following_mixed = layer(
            kernels, inputs[:n], inputs[n:m], rows, replace(geometry, **edges), groups, inputs[-1], following, tf32=tf32
        )
        return [*result, *following_mixed]

    given = [*mixed, *features, *([] if added is None else [added]), *[getattr(geometry, name) for name in names]]
    given.append(fidelity)  # its vector may be learned
    made = recomputed(part, given, [*layer.parameters(), *(following.entry_parameters() if following else [])])
    return made[: layer.shape.n_out], made[layer.shape.n_out :]

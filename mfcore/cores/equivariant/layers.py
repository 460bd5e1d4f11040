"""The interaction layer and the readout, with the two ways in which a fidelity enters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mfbench.mfcore.backends.select import Backend, Kernels
from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductInstructions
from mfbench.mfcore.ops.convolution.op import convolve
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.node_update.op import update
from mfbench.mfcore.ops.node_update.protocol import Matrices, UpdateCall, UpdateIrrep, UpdateShape
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups
from mfbench.mfcore.ops.radial.network import RadialNetwork, entries
from mfbench.mfcore.ops.radial.table import RadialTable
from mfbench.mfcore.ops.readout.op import readout


def _matrix(rows: int, columns: int, scale: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) / math.sqrt(rows) * scale)


class FidelityBias(nn.Module):
    """A one-hot of the fidelity through a linear map onto scalar channels: one learned row per fidelity."""

    def __init__(self, n_fidelities: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(n_fidelities, channels))

    def forward(self, scalars: Tensor | None, fidelity: Tensor) -> Tensor:
        """Add the row of each atom's fidelity, given as its one-hot (A, 1, F), to its scalars (A, 1, C) or none."""
        # a product, because the gradient of a gather is slow, and on a GPU not deterministic
        rows: Tensor = fidelity @ self.weight
        return rows if scalars is None else scalars + rows


class Interaction(nn.Module):
    """Linear → convolution → linear, plus self-connection, then gate (Batzner et al. 2022, NequIP, Fig. 1).

    Parameters
    ----------
    layout
        Irreps of the incoming features.
    config
        Shape of the network.
    n_species
        Number of species.
    n_fidelities
        Number of fidelities that condition the scalars; 0 for an unconditioned layer.
    first
        Whether the features that come in are those of the species, for :meth:`start`.
    last
        Whether only scalars go out, as the readout needs.
    mean_neighbours
        Mean number of edges per atom in the training set.
    """

    def __init__(
        self,
        layout: Layout,
        config: EquivariantConfig,
        n_species: int,
        n_fidelities: int,
        first: bool,
        last: bool,
        mean_neighbours: float,
    ) -> None:
        super().__init__()
        parities = (1, -1) if config.parity else (0,)
        wanted = [(0, 1)] if last else [(d, p if p else (-1) ** d) for d in range(config.lmax + 1) for p in parities]
        wanted.sort(key=lambda irrep: (irrep != (0, 1), irrep[0]))  # invariant scalars come first
        self.instructions = TensorProductInstructions(layout, config.lmax, wanted)
        self.scale = 1.0 / math.sqrt(max(mean_neighbours, 1.0))
        self.radial = RadialNetwork(
            config.n_bessel,
            config.radial_hidden,
            self.instructions.n_weights,
            config.cutoff,
            envelope_power=config.envelope_power,
            mode=config.radial_mode,
            **({} if config.n_knots is None else {"n_knots": config.n_knots}),
        )
        reached = [(degree, parity) for degree, parity, _ in self.instructions.output_layout]
        widths = [config.channels_of(degree) for degree, _ in reached]
        out, gates = list(widths), []
        for k, (degree, _) in enumerate(reached):
            if degree > 0:
                gates.append((k, out[0], out[0] + widths[k]))
                out[0] += widths[k]
        self.output_layout: Layout = tuple(
            (degree, parity, width) for (degree, parity), width in zip(reached, widths, strict=True)
        )
        self.linear_in = nn.ParameterList([_matrix(c, c) for _, _, c in layout])
        self.linear_out = nn.ParameterList(
            [_matrix(c, width) for (_, _, c), width in zip(self.instructions.output_layout, out, strict=True)]
        )
        incoming = {(degree, parity): k for k, (degree, parity, _) in enumerate(layout)}
        connections = tuple((k, incoming[irrep]) for k, irrep in enumerate(reached) if irrep in incoming)
        self.n_matrices = n_species if config.self_connection == "species" else 1
        self.self_connection = nn.ParameterList(
            [_matrix(layout[source][2], out[k] * self.n_matrices) for k, source in connections]
        )
        self.bias_in = FidelityBias(n_fidelities, layout[0][2]) if n_fidelities else None
        self.bias_out = FidelityBias(n_fidelities, out[0]) if n_fidelities else None
        joined = () if first else connections
        connected = {k: layout[j][2] for k, j in joined}
        self.shape = UpdateShape(
            irreps=tuple(
                UpdateIrrep(2 * degree + 1, messages, out[k], widths[k], connected.get(k, 0))
                for k, (degree, _, messages) in enumerate(self.instructions.output_layout)
            ),
            connections=joined,
            gates=tuple(gates),
            pseudoscalars=tuple(k for k, irrep in enumerate(reached) if irrep == (0, -1)),
            mixes=not last,
        )

    def start(self, embedding: Tensor, species: Tensor, fidelity: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The beginning of the first layer: inputs of its convolution and its self-connection, the same for a species.

        Parameters
        ----------
        embedding
            (S, C) features of each species.
        species
            (A,) species index.
        fidelity
            (A, 1, F) one-hot.

        Returns
        -------
        tuple
            Mixed features and added rows as :meth:`forward` takes them.
        """
        mixed = (embedding @ self.linear_in[0]).index_select(0, species)[:, None, :]
        added = None
        if len(self.self_connection):
            matrices = self.self_connection[0].view(embedding.shape[1], self.n_matrices, -1).transpose(0, 1)
            added = (embedding[:, None, :] @ matrices).index_select(0, species)
        return [mixed if self.bias_in is None else self.bias_in(mixed, fidelity)], added

    def forward(
        self,
        kernels: Backend | Kernels,
        mixed: Sequence[Tensor],
        features: Sequence[Tensor],
        added: Tensor | None,
        geometry: EdgeGeometry,
        groups: SpeciesGroups,
        fidelity: Tensor,
        following: Interaction | None,
        table: RadialTable | None = None,
        tf32: bool = False,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """One round of messages.

        Parameters
        ----------
        kernels
            What computes, looked up once for all layers.
        mixed
            Inputs of the convolution: features after this layer's first linear maps, (A, 2l+1, C) for each irrep.
        features
            Features for the self-connection; none for a first layer.
        added
            (A, 1, W) to be added to the scalars before the gate.
        geometry
            Edges.
        groups
            The atoms by species.
        fidelity
            (A, 1, F) one-hot.
        following
            The next layer, if there is one.
        table
            Of this layer's radial network, if it was made with those of the others.
        tf32
            Multiply features with matrices in TF32.

        Returns
        -------
        tuple
            Features, and the next layer's mixed features.
        """
        weights = self.radial(geometry) if table is None else table
        messages = convolve(self.instructions, mixed, geometry, weights, kernels)
        if self.bias_out is not None:
            added = self.bias_out(added, fidelity)
        inward = [] if following is None else entries(following.linear_in)
        matrices = Matrices(entries(self.linear_out), self._connecting, inward)
        call = UpdateCall(self.shape, self.scale, groups, matrices, tf32)
        connected = [features[source] for _, source in self.shape.connections]
        result, mixed = update(call, messages, connected, added, kernels)
        if following is not None and following.bias_in is not None:
            mixed[0] = following.bias_in(mixed[0], fidelity)
        return result, mixed

    def entry_parameters(self) -> list[nn.Parameter]:
        """The parameters that the layer before uses, to make this one's mixed features."""
        return [*self.linear_in, *(self.bias_in.parameters() if self.bias_in is not None else [])]

    @property
    def _connecting(self) -> list[nn.Parameter]:
        """Matrices of the self-connections, if they are not part of :meth:`start`."""
        return entries(self.self_connection) if self.shape.connections else []


class ConditionedReadout(nn.Module):
    """Scalars → energy of each atom by a one-hidden-layer network with fidelity rows on both layers."""

    def __init__(self, channels: int, hidden: int, n_fidelities: int, scale: float) -> None:
        super().__init__()
        self.hidden, self.out = _matrix(channels, hidden), _matrix(hidden, 1, scale)
        self.bias_hidden = FidelityBias(n_fidelities, hidden) if n_fidelities else None
        self.bias_out = FidelityBias(n_fidelities, 1) if n_fidelities else None

    def forward(self, scalars: Tensor, fidelity: Tensor, kernels: Backend | Kernels) -> Tensor:
        """Dimensionless energy of each atom, (A,), from scalars (A, 1, C) and the one-hot of fidelities (A, 1, F)."""
        added = None if self.bias_hidden is None else self.bias_hidden(None, fidelity).squeeze(1)
        energy = readout(scalars.squeeze(1), self.hidden, self.out.T, added, kernels)
        if self.bias_out is not None:
            energy = self.bias_out(energy.view(-1, 1, 1), fidelity).view(-1)
        return energy


class MultiHeadReadout(nn.Module):
    """One readout network per fidelity on shared scalars."""

    def __init__(self, channels: int, hidden: int, n_heads: int, scale: float) -> None:
        super().__init__()
        self._shape = (n_heads, hidden)
        self.hidden = _matrix(channels, n_heads * hidden)
        self.out = nn.Parameter(torch.randn(n_heads, hidden) / math.sqrt(hidden) * scale)

    def forward(self, scalars: Tensor, fidelity: Tensor, kernels: Backend | Kernels) -> Tensor:
        """Dimensionless energy of each atom from its fidelity's head, (A,); arguments as in the other readout."""
        # zeros for the other heads: to choose by a gather would have a slow gradient
        out = (fidelity.view(-1, self._shape[0], 1) * self.out).flatten(1)
        return readout(scalars.squeeze(1), self.hidden, out, None, kernels)

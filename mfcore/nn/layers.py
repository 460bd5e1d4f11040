"""The interaction layer and the readout, with the two ways in which a fidelity enters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mfcore.nn.config import CoreConfig
from mfcore.nn.convolution.convolve import convolve
from mfcore.nn.convolution.geometry import EdgeGeometry
from mfcore.nn.convolution.paths import Layout, TensorProductPaths
from mfcore.nn.convolution.radial import RadialNetwork
from mfcore.nn.species_groups import SpeciesGroups, species_linear

# second-moment normalisation of the activations under a unit normal input, as e3nn.math.normalize2mom
GATE_SCALE = 1.6791767675
PSEUDOSCALAR_SCALE = 1.5927869


def silu(x: Tensor) -> Tensor:
    """SiLU scaled so that a unit-variance input keeps its second moment."""
    return torch.nn.functional.silu(x) * GATE_SCALE


def _matrix(rows: int, columns: int, scale: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) / math.sqrt(rows) * scale)


@dataclass(frozen=True)
class UpdateShape:
    """Which irreps come out of a layer, and what happens to them.

    Attributes
    ----------
    n_out
        Irreps of messages and of results.
    connections
        (k, j) of each self-connection: from incoming irrep j to outgoing irrep k.
    width
        Scalars that go on; the other channels of the scalars are gates.
    gates
        (k, first, last) columns of the scalars that gate irrep k.
    pseudoscalars
        Irreps that go through tanh.
    mixes
        Whether there is a next convolution, and so Win.
    """

    n_out: int
    connections: tuple[tuple[int, int], ...]
    width: int
    gates: tuple[tuple[int, int, int], ...]
    pseudoscalars: tuple[int, ...]
    mixes: bool


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
        config: CoreConfig,
        n_species: int,
        n_fidelities: int,
        first: bool,
        last: bool,
        mean_neighbours: float,
    ) -> None:
        super().__init__()
        self.backend = config.backend
        parities = (1, -1) if config.parity else (0,)
        wanted = [(0, 1)] if last else [(d, p if p else (-1) ** d) for d in range(config.lmax + 1) for p in parities]
        wanted.sort(key=lambda irrep: (irrep != (0, 1), irrep[0]))  # invariant scalars come first
        self.paths = TensorProductPaths(layout, config.lmax, wanted)
        self.scale = 1.0 / math.sqrt(max(mean_neighbours, 1.0))
        self.radial = RadialNetwork(
            config.n_bessel,
            config.radial_hidden,
            self.paths.n_weights,
            config.cutoff,
            envelope_power=config.envelope_power,
            mode=config.radial_mode,
            **({} if config.n_knots is None else {"n_knots": config.n_knots}),
        )
        reached = [(degree, parity) for degree, parity, _ in self.paths.output_layout]
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
            [_matrix(c, width) for (_, _, c), width in zip(self.paths.output_layout, out, strict=True)]
        )
        incoming = {(degree, parity): k for k, (degree, parity, _) in enumerate(layout)}
        connections = tuple((k, incoming[irrep]) for k, irrep in enumerate(reached) if irrep in incoming)
        self.n_matrices = n_species if config.self_connection == "species" else 1
        self.self_connection = nn.ParameterList(
            [_matrix(layout[source][2], out[k] * self.n_matrices) for k, source in connections]
        )
        self.bias_in = FidelityBias(n_fidelities, layout[0][2]) if n_fidelities else None
        self.bias_out = FidelityBias(n_fidelities, out[0]) if n_fidelities else None
        self.shape = UpdateShape(
            n_out=len(reached),
            connections=() if first else connections,
            width=widths[0],
            gates=tuple(gates),
            pseudoscalars=tuple(k for k, irrep in enumerate(reached) if irrep == (0, -1)),
            mixes=not last,
        )

    def start(self, embedding: Tensor, species: Tensor, fidelity: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """What the first layer begins with: inputs of its convolution and its self-connection, the same for a species.

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
        mixed: Sequence[Tensor],
        features: Sequence[Tensor],
        added: Tensor | None,
        geometry: EdgeGeometry,
        groups: SpeciesGroups,
        fidelity: Tensor,
        following: Interaction | None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """One round of messages.

        Parameters
        ----------
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

        Returns
        -------
        tuple
            Features, and the next layer's mixed features.
        """
        messages = convolve(self.paths, mixed, geometry, self.radial(geometry), self.backend)
        out = [message @ (weight * self.scale) for message, weight in zip(messages, self.linear_out, strict=True)]
        if self.bias_out is not None:
            added = self.bias_out(added, fidelity)
        if added is not None:
            out[0] = out[0] + added
        for (k, source), weight in zip(self.shape.connections, self._connecting, strict=True):
            out[k] = out[k] + species_linear(features[source], weight, groups)
        result = self._gate(out)
        if following is None:
            return result, []
        mixed = [feature @ weight for feature, weight in zip(result, following.linear_in, strict=True)]
        if following.bias_in is not None:
            mixed[0] = following.bias_in(mixed[0], fidelity)
        return result, mixed

    def entry_parameters(self) -> list[nn.Parameter]:
        """The parameters that the layer before uses, to make this one's mixed features."""
        return [*self.linear_in, *(self.bias_in.parameters() if self.bias_in is not None else [])]

    @property
    def _connecting(self) -> list[nn.Parameter]:
        """Matrices of the self-connections, if they are not part of :meth:`start`."""
        return list(self.self_connection) if self.shape.connections else []

    def _gate(self, out: list[Tensor]) -> list[Tensor]:
        activated = silu(out[0])
        result = list(out)
        result[0] = activated[:, :, : self.shape.width] if self.shape.gates else activated
        for k, first, last in self.shape.gates:
            result[k] = out[k] * activated[:, :, first:last]
        for k in self.shape.pseudoscalars:
            result[k] = torch.tanh(out[k]) * PSEUDOSCALAR_SCALE
        return result


class ConditionedReadout(nn.Module):
    """Scalars → energy of each atom by a one-hidden-layer network with fidelity rows on both layers."""

    def __init__(self, channels: int, hidden: int, n_fidelities: int, scale: float) -> None:
        super().__init__()
        self.hidden, self.out = _matrix(channels, hidden), _matrix(hidden, 1, scale)
        self.bias_hidden = FidelityBias(n_fidelities, hidden) if n_fidelities else None
        self.bias_out = FidelityBias(n_fidelities, 1) if n_fidelities else None

    def forward(self, scalars: Tensor, fidelity: Tensor) -> Tensor:
        """Dimensionless energy of each atom, (A,), from scalars (A, 1, C) and the one-hot of fidelities (A, 1, F)."""
        hidden = scalars @ self.hidden
        if self.bias_hidden is not None:
            hidden = self.bias_hidden(hidden, fidelity)
        energy = silu(hidden) @ self.out
        if self.bias_out is not None:
            energy = self.bias_out(energy, fidelity)
        return energy.view(-1)


class MultiHeadReadout(nn.Module):
    """One readout network per fidelity on shared scalars."""

    def __init__(self, channels: int, hidden: int, n_heads: int, scale: float) -> None:
        super().__init__()
        self._shape = (n_heads, hidden)
        self.hidden = _matrix(channels, n_heads * hidden)
        self.out = nn.Parameter(torch.randn(n_heads, hidden) / math.sqrt(hidden) * scale)

    def forward(self, scalars: Tensor, fidelity: Tensor) -> Tensor:
        """Dimensionless energy of each atom from its fidelity's head, (A,); arguments as in the other readout."""
        heads = silu(scalars @ self.hidden).view(-1, *self._shape)
        # not (heads * out).sum(2) chosen by a gather, whose gradient is slow
        return (heads * (fidelity.view(-1, self._shape[0], 1) * self.out)).sum((1, 2))

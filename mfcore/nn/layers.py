"""The interaction layer and the readout, with the two ways in which a fidelity enters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mfcore.nn.config import CoreConfig
from mfcore.nn.convolution.convolve import convolve
from mfcore.nn.convolution.geometry import EdgeGeometry
from mfcore.nn.convolution.paths import Layout, TensorProductPaths
from mfcore.nn.convolution.radial import RadialNetwork

# second-moment normalisation of the activations under a unit normal input, as e3nn.math.normalize2mom
GATE_SCALE = 1.6791767675
PSEUDOSCALAR_SCALE = 1.5927869


def silu(x: Tensor) -> Tensor:
    """SiLU scaled so that a unit-variance input keeps its second moment."""
    return torch.nn.functional.silu(x) * GATE_SCALE


def _matrix(rows: int, columns: int, scale: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) * scale / math.sqrt(rows))


class FidelityBias(nn.Module):
    """A one-hot of the fidelity through a linear map onto scalar channels: one learned row per fidelity."""

    def __init__(self, n_fidelities: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(n_fidelities, channels))

    def forward(self, scalars: Tensor, fidelity: Tensor) -> Tensor:
        """Add the row of each atom's fidelity (A,) to its scalars (A, 1, C) or (A, C)."""
        rows = self.weight.index_select(0, fidelity)
        return scalars + (rows[:, None, :] if scalars.dim() == 3 else rows)


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
        self.gated = [k for k, irrep in enumerate(reached) if irrep[0] > 0]
        self.pseudoscalars = [k for k, irrep in enumerate(reached) if irrep == (0, -1)]
        self.gate_widths = [widths[k] for k in self.gated]
        out = list(widths)
        out[0] += sum(self.gate_widths)
        self.output_layout: Layout = tuple(
            (degree, parity, width) for (degree, parity), width in zip(reached, widths, strict=True)
        )
        self.linear_in = nn.ParameterList([_matrix(c, c) for _, _, c in layout])
        self.linear_out = nn.ParameterList(
            [_matrix(c, width) for (_, _, c), width in zip(self.paths.output_layout, out, strict=True)]
        )
        incoming = {(degree, parity): k for k, (degree, parity, _) in enumerate(layout)}
        self.self_source = [incoming.get(irrep, -1) for irrep in reached]
        self.n_matrices = n_species if config.self_connection == "species" else 1
        self.self_connection = nn.ParameterList(
            [
                _matrix(layout[source][2], width * self.n_matrices)
                for source, width in zip(self.self_source, out, strict=True)
                if source >= 0
            ]
        )
        self.bias_in = FidelityBias(n_fidelities, layout[0][2]) if n_fidelities else None
        self.bias_out = FidelityBias(n_fidelities, out[0]) if n_fidelities else None

    def forward(
        self, features: Sequence[Tensor], geometry: EdgeGeometry, species: Tensor, fidelity: Tensor
    ) -> list[Tensor]:
        """One round of messages; features of irrep k are (A, 2l+1, channels)."""
        mixed = [f @ w for f, w in zip(features, self.linear_in, strict=True)]
        if self.bias_in is not None:
            mixed[0] = self.bias_in(mixed[0], fidelity)
        messages = convolve(self.paths, mixed, geometry, self.radial(geometry), self.backend)
        out, connection = [], 0
        for k, (message, weight) in enumerate(zip(messages, self.linear_out, strict=True)):
            value = message @ (weight * self.scale)
            if self.self_source[k] >= 0:
                value = value + self._select(features[self.self_source[k]], connection, species)
                connection += 1
            out.append(value)
        if self.bias_out is not None:
            out[0] = self.bias_out(out[0], fidelity)
        return self._gate(out)

    def _select(self, feature: Tensor, connection: int, species: Tensor) -> Tensor:
        """Self-connection with the matrix of each atom's species."""
        product: Tensor = feature @ self.self_connection[connection]
        if self.n_matrices == 1:
            return product
        atoms, components, width = product.shape
        split = product.view(atoms, components, self.n_matrices, width // self.n_matrices)
        index = species.view(-1, 1, 1, 1).expand(-1, components, 1, split.shape[-1])
        return split.gather(2, index).squeeze(2)

    def _gate(self, out: list[Tensor]) -> list[Tensor]:
        if not self.gated:
            gated = [silu(out[0])]
        else:
            scalars, *gates = silu(out[0]).split([out[0].shape[2] - sum(self.gate_widths), *self.gate_widths], 2)
            gated = [scalars.contiguous(), *out[1:]]
            for k, gate in zip(self.gated, gates, strict=True):
                gated[k] = out[k] * gate
        for k in self.pseudoscalars:
            gated[k] = torch.tanh(out[k]) * PSEUDOSCALAR_SCALE
        return gated


class ConditionedReadout(nn.Module):
    """Scalars → energy of each atom by a one-hidden-layer network with fidelity rows on both layers."""

    def __init__(self, channels: int, hidden: int, n_fidelities: int) -> None:
        super().__init__()
        self.hidden, self.out = _matrix(channels, hidden), _matrix(hidden, 1)
        self.bias_hidden = FidelityBias(n_fidelities, hidden) if n_fidelities else None
        self.bias_out = FidelityBias(n_fidelities, 1) if n_fidelities else None

    def forward(self, scalars: Tensor, fidelity: Tensor) -> Tensor:
        """Dimensionless energy of each atom, (A,), from scalars (A, C)."""
        hidden = scalars @ self.hidden
        if self.bias_hidden is not None:
            hidden = self.bias_hidden(hidden, fidelity)
        energy = silu(hidden) @ self.out
        if self.bias_out is not None:
            energy = self.bias_out(energy, fidelity)
        return energy.squeeze(1)


class MultiHeadReadout(nn.Module):
    """One readout network per fidelity on shared scalars."""

    def __init__(self, channels: int, hidden: int, n_heads: int) -> None:
        super().__init__()
        self._shape = (n_heads, hidden)
        self.hidden = _matrix(channels, n_heads * hidden)
        self.out = nn.Parameter(torch.randn(n_heads, hidden) / math.sqrt(hidden))

    def forward(self, scalars: Tensor, fidelity: Tensor) -> Tensor:
        """Dimensionless energy of each atom from its fidelity's head, (A,), from scalars (A, C)."""
        heads = silu(scalars @ self.hidden).view(-1, *self._shape)
        return (heads * self.out).sum(2).gather(1, fidelity[:, None]).squeeze(1)

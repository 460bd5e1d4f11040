"""The network that makes radial weights of Bessel functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

import torch
from torch import Tensor, nn

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.radial.functions import DEFAULT_KNOTS, RadialMode, RadialSettings, bessel, envelope
from mfbench.mfcore.ops.radial.op import tables
from mfbench.mfcore.ops.radial.table import RadialTable, basis_at_knots, interpolation

RadialWeights = Tensor | RadialTable

# second-moment normalisation of SiLU under a unit normal input, as e3nn.math.normalize2mom
_SILU_SCALE = 1.6791767675


class RadialNetwork(nn.Module):
    """Radial weights R(r) = envelope(r) · MLP(bessel(r)) of one convolution.

    The network has no biases and SiLU activations. Its last layer starts so that R has unit mean square under a
    uniform density of neighbours, weighted by the envelope.
    In table mode it is evaluated once on the knots of a cubic B-spline, prefiltered so that the spline
    interpolates it; the cost does not grow with the number of edges, and R stays C². Both modes have the same
    parameters, and `mode` can be changed at any time (on all layers that share one geometry).

    Parameters
    ----------
    n_bessel
        Number of Bessel functions.
    hidden
        Hidden widths.
    n_weights
        Outputs, see :class:`~mfbench.mfcore.ops.convolution.instructions.TensorProductInstructions`.
    cutoff
        Å.
    envelope_power
        Power of the envelope, at least 3 for smooth forces.
    mode
        "table" or "exact".
    n_knots
        Intervals of the table, at least 4.

    Raises
    ------
    ConfigError
        For impossible values.
    """

    def __init__(
        self,
        n_bessel: int,
        hidden: Sequence[int],
        n_weights: int,
        cutoff: float,
        envelope_power: int = 6,
        mode: RadialMode = "table",
        n_knots: int = DEFAULT_KNOTS,
    ) -> None:
        super().__init__()
        if cutoff <= 0 or n_bessel < 1 or envelope_power < 2 or n_knots < 4:
            raise ConfigError("radial network: expected cutoff > 0, n_bessel >= 1, envelope_power >= 2, n_knots >= 4.")
        self._settings = RadialSettings(float(cutoff), n_bessel, envelope_power, "exact", n_knots)
        self.mode = mode
        self._kept: tuple[object, RadialTable] | None = None
        widths = [n_bessel, *hidden, n_weights]
        self.weights = nn.ParameterList()
        for k, (rows, columns) in enumerate(pairwise(widths)):
            # the gain of the activation before is part of the initial weights
            gain = (_SILU_SCALE if k else 1.0) / math.sqrt(rows)
            self.weights.append(nn.Parameter(torch.randn(rows, columns) * gain))
        with torch.no_grad():
            x = torch.linspace(0.0, 1.0, 129)
            density = (x * envelope(x, envelope_power)).square()
            square = self._hidden(bessel(x, n_bessel)).square().mean(1)
            self.weights[-1] *= (density.sum() / (square @ density)).sqrt() / (_SILU_SCALE if hidden else 1.0)

    @property
    def settings(self) -> RadialSettings:
        """The settings for :func:`~mfbench.mfcore.ops.geometry.op.edge_geometry`."""
        return self._settings

    @property
    def mode(self) -> RadialMode:
        """How the network is evaluated."""
        return self._settings.mode

    @mode.setter
    def mode(self, mode: RadialMode) -> None:
        if mode not in get_args(RadialMode):
            raise ConfigError(f"radial mode: expected 'table' or 'exact', got '{mode}'.")
        self._settings = self._settings._replace(mode=mode)

    def forward(self, geometry: EdgeGeometry) -> RadialWeights:
        """Weights for a convolution over these edges: a table, or in exact mode (E, n_weights)."""
        if geometry.settings != self._settings:
            raise ConfigError(
                f"radial network: has {self._settings}, but the geometry was made for {geometry.settings}."
            )
        if self.mode == "table":
            return self.table()
        assert geometry.basis is not None
        assert geometry.envelope is not None
        weights: Tensor = (self._hidden(geometry.basis) @ self.weights[-1]) * geometry.envelope[:, None]
        return weights

    def table(self) -> RadialTable:
        """The network on the knots, without the envelope; see :func:`radial_tables`."""
        return radial_tables([self])[0]

    @property
    def _changes(self) -> bool:
        """True if a table of these weights may be used only once."""
        return self.training or any(weight.requires_grad or weight.is_inference() for weight in self.weights)

    def _fixed_table(self) -> RadialTable:
        state = (self._settings, [(w.data_ptr(), w._version, w.dtype, w.device) for w in self.weights])
        if self._kept is None or self._kept[0] != state:
            with torch.inference_mode(False), torch.no_grad():  # usable outside of inference mode too
                self._kept = (state, _tables([self])[0])
        return self._kept[1]

    def _hidden(self, basis: Tensor) -> Tensor:
        for weight in self.weights[:-1]:
            basis = torch.nn.functional.silu(basis @ weight)
        return basis


def entries(parameters: nn.ParameterList) -> list[nn.Parameter]:
    """Of a list, without what its own iterator does for each entry in every training step."""
    return [value for value in parameters._parameters.values() if value is not None]


def radial_tables(networks: Sequence[RadialNetwork]) -> list[RadialTable]:
    """Tables of networks that share settings and hidden widths.

    A frozen network (in eval mode, with no parameter that requires gradients) keeps its table until a parameter
    changes.

    Raises
    ------
    ConfigError
        If their settings differ.
    """
    if any(network.settings != networks[0].settings for network in networks):
        raise ConfigError("radial networks of one geometry: expected the same settings in all layers.")
    if any(network._changes for network in networks):
        for network in networks:
            network._kept = None
        return _tables(networks)
    return [network._fixed_table() for network in networks]


def _tables(networks: Sequence[RadialNetwork]) -> list[RadialTable]:
    last, settings = networks[0].weights[-1], networks[0].settings
    sizes = settings.n_knots, settings.n_bessel, last.dtype, last.device
    basis, matrix = basis_at_knots(*sizes), interpolation(*sizes)
    return [RadialTable(table) for table in tables(basis, matrix, [entries(n.weights) for n in networks])]

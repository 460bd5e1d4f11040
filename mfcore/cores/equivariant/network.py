"""The parts of the network that its inference core copies."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.layers import ConditionedReadout, MultiHeadReadout
from mfbench.mfcore.cores.equivariant.zbl import ZBLRepulsion
from mfbench.mfcore.ops.radial.functions import RadialSettings


class Network(Protocol):
    """An equivariant network with its weights; see :class:`mfbench.mfcore.cores.equivariant.model.EquivariantCore`."""

    config: EquivariantConfig
    species: tuple[int, ...]
    fidelities: tuple[str, ...]
    embedding: nn.Parameter
    layers: nn.ModuleList
    readout: ConditionedReadout | MultiHeadReadout
    repulsion: ZBLRepulsion | None
    radial_settings: RadialSettings
    reference: Tensor
    scale: Tensor
    reference_shift: nn.Parameter

    def fidelity_vector(self, fidelity: str) -> Tensor:
        """The vector of a fidelity that matrices of rows are multiplied with: its one-hot, or a learned one."""

    def row(self, fidelity: str) -> int:
        """Index of a fidelity; ConfigError if the network does not know it."""

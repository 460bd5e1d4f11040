"""The core of mfbench."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mfbench.benchmarks.performance.contenders.base import Labelled, Network
from mfbench.benchmarks.performance.contenders.cores import CoreContender

if TYPE_CHECKING:
    from mfbench.mfcore.cores.equivariant.model import EquivariantCore


class MfCore(CoreContender):
    """The default core; messages over the root of the mean neighbour count."""

    core_name = "equivariant"
    packages = ("mfbench", "e3nn")
    n_layers = 2
    channels = 40
    module: EquivariantCore
    radial_hidden = (32,)  # its table makes a deep radial network unneeded; the parameters go into channels

    @classmethod
    def settings(cls, network: Network) -> dict[str, Any]:
        """See :class:`CoreContender`."""
        return super().settings(network) | {"radial_hidden": cls.radial_hidden}


class SpeedCore(MfCore):
    """The core with the radial networks of the peers; for inference in its frozen form, as its calculator uses it."""

    n_layers = 3
    channels = 32
    radial_hidden = (64, 64)  # type: ignore[assignment] # any number of layers serves

    def __init__(self, network: Network, training: Labelled) -> None:
        super().__init__(network, training)
        self._frozen: Any = None

    def fix(self) -> None:
        """Make it a fixed function."""
        self.module.freeze()
        self._frozen = self.module.for_inference(self.module.fidelities[0])

    def energy_forces(self, batch: Any, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Contender`."""
        if self._frozen is None or training:
            return super().energy_forces(batch, training)
        out = self._frozen(batch, forces=True)
        return out.energy.double() + self._frozen.reference_energy(batch), out.forces

"""The core of mfbench, single fidelity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Batcher, Contender, Labelled, Network

_FIDELITY = "high"


class MfCore(Contender):
    """Reference energies: least squares; scale: RMS force; messages over the root of the mean neighbour count.

    Parameters
    ----------
    network, training
        See :class:`Contender`.
    core
        Other settings of :class:`mfbench.mfcore.cores.equivariant.config.EquivariantConfig`.
    """

    packages = ("mfbench", "e3nn")
    n_layers = 2
    channels = 40
    radial_hidden = (32,)  # its table makes a deep radial network unneeded; the parameters go into channels

    def __init__(self, network: Network, training: Labelled, **core: Any) -> None:
        from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
        from mfbench.mfcore.cores.equivariant.model import EquivariantCore
        from mfbench.mfcore.data.reference_energies import least_squares_energies

        n_layers, channels = self.shape(network)
        config = EquivariantConfig(
            cutoff=network.cutoff,
            n_layers=n_layers,
            lmax=network.lmax,
            channels=channels,
            n_bessel=network.n_bessel,
            radial_hidden=self.radial_hidden,
            **core,
        )
        self._species, self._cutoff = training.species, network.cutoff
        mean_neighbours = self._store(training.frames).mean_neighbours()
        self.module: EquivariantCore = EquivariantCore(
            config, self._species, [_FIDELITY], mean_neighbours=mean_neighbours
        )
        reference = least_squares_energies(training.frames, training.energies, self._species)
        self.module.set_reference(_FIDELITY, reference.values)
        self.module.set_scale(_FIDELITY, training.force_rms)

    def _store(self, frames: Sequence[Atoms]) -> Any:
        from mfbench.mfcore.data.graphs import GraphStore

        return GraphStore(frames, [_FIDELITY] * len(frames), [_FIDELITY], None, self._species, self._cutoff)

    def prepare(self, frames: Sequence[Atoms]) -> Batcher:
        """See :class:`Contender`."""
        store = self._store(frames)
        return lambda numbers: store.batch(numbers).to("cpu", torch.get_default_dtype())

    def energy_forces(self, batch: Any, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Contender`."""
        out = self.module(batch, create_graph=training)
        assert out.forces is not None
        return out.energy.double() + self.module.reference_energy(batch), out.forces


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

"""Cores as contenders: the networks that the arms train, ours and those of peers, through the same door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Batcher, Contender, Labelled, Network
from mfbench.mfcore.core import Core
from mfbench.mfcore.cores.registry import core_class
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.data.reference_energies import least_squares_energies

_FIDELITY = "high"


class CoreContender(Contender):
    """A core of one fidelity. Reference energies: least squares; scale: RMS force; mean neighbours of the training set.

    Parameters
    ----------
    network, training
        See :class:`Contender`.
    core
        Further settings of the core.

    Attributes
    ----------
    core_name
        Of the class: name of the core.
    """

    core_name: ClassVar[str]
    module: Core

    def __init__(self, network: Network, training: Labelled, **core: Any) -> None:
        kind = core_class(self.core_name)
        config = kind.Config.model_validate(self.settings(network) | core)
        self._species, self._cutoff = training.species, network.cutoff
        mean_neighbours = self._store(training.frames).mean_neighbours()
        self.module = kind(config, self._species, [_FIDELITY], mean_neighbours=mean_neighbours)
        reference = least_squares_energies(training.frames, training.energies, self._species)
        self.module.set_reference(_FIDELITY, reference.values)
        self.module.set_scale(_FIDELITY, training.force_rms)

    @classmethod
    def settings(cls, network: Network) -> dict[str, Any]:
        """Settings of the core for a shape."""
        n_layers, channels = cls.shape(network)
        return {
            "cutoff": network.cutoff,
            "n_layers": n_layers,
            "lmax": network.lmax,
            "channels": channels,
            "n_bessel": network.n_bessel,
        }

    def _store(self, frames: Sequence[Atoms]) -> GraphStore:
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

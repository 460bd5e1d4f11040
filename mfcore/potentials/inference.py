"""One fidelity of a fitted potential as a fixed function of a graph: for molecular dynamics and predictions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from ase import Atoms

from mfbench.mfcore.core import Core, CoreOutput
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.output_checks import checked_output


class FrozenPotential:
    """A sum of frozen networks: ``frozen(batch, forces=True, stress=False)``, reference energies included.

    Positions, shifts and edges of a batch may change from call to call; what depends on its species alone is computed
    once, as long as the batch keeps the same `species` tensor.

    Parameters
    ----------
    terms
        Networks with the fidelity as which each is evaluated.
    without
        Atomic numbers that nothing is known about at this fidelity.

    Attributes
    ----------
    species
        Atomic numbers that all networks know, in the order of a batch's species index.
    names
        Of the networks' cores.
    cutoff
        Å; the longest of the networks.
    device, dtype
        Of the batches that it takes.

    Raises
    ------
    ConfigError
        If the networks have no species in common.
    """

    def __init__(self, terms: Sequence[tuple[Core, str]], without: Collection[int] = ()) -> None:
        every = [core.species for core, _ in terms]
        self.species = tuple(n for n in every[0] if n not in without and all(n in species for species in every))
        if not self.species:
            raise ConfigError("the networks of this potential have no species in common.")
        self.cores = [core.for_inference(fidelity, self.species) for core, fidelity in terms]
        self.names = [core.name for core, _ in terms]
        self.cutoff = max(core.cutoff for core in self.cores)
        self.device, self.dtype = self.cores[0].device, self.cores[0].dtype

    def __call__(self, batch: Batch, forces: bool = True, stress: bool = False) -> CoreOutput:
        """Energies, forces and stress of a batch.

        Parameters
        ----------
        batch
            Graph, in this dtype and on this device; its labels and fidelities are not read.
        forces, stress
            What to compute beside the energy.

        Returns
        -------
        CoreOutput
            Energies (B,) eV of float64, reference energies included; forces (A, 3) eV/Å and stress (B, 3, 3) eV/Å³
            in the networks' dtype.

        Raises
        ------
        SelfCheckError
            If a core gives something else than what was asked for.
        """
        total = checked_output(self.names[0], self.cores[0](batch, forces, stress), batch, forces, stress)
        energy = total.energy.double() + self.cores[0].reference_energy(batch)
        for name, core in zip(self.names[1:], self.cores[1:], strict=True):
            more = checked_output(name, core(batch, forces, stress), batch, forces, stress)
            energy += more.energy.double() + core.reference_energy(batch)
            total.forces = None if total.forces is None or more.forces is None else total.forces + more.forces
            total.stress = None if total.stress is None or more.stress is None else total.stress + more.stress
        return CoreOutput(energy, total.forces, total.stress)

    def graphs(self, frames: Sequence[Atoms]) -> GraphStore:
        """Graphs of frames, without labels.

        Raises
        ------
        DataError
            If a frame has an element never seen in training.
        """
        names = ["-"]
        unlabelled = {names[0]: LabelSet.of(())}
        return GraphStore(frames, names * len(frames), names, unlabelled, self.species, self.cutoff)

    def batch(self, frames: Sequence[Atoms]) -> Batch:
        """Frames as one graph, on the device and in the dtype that it takes."""
        return self.graphs(frames).batch(np.arange(len(frames))).to(self.device, self.dtype)


def state_of(cores: Sequence[Core]) -> list[tuple[int, int]]:
    """Marks that change when weights or reference energies of networks are written to."""
    tensors = [t for core in cores for t in (*core.parameters(), *core.buffers())]
    return [(t.data_ptr(), -1 if t.is_inference() else t._version) for t in tensors]

"""A fitted potential as one graph of torch.export: energies, forces and stress of any number of atoms and edges.

The graph calls operations that mfbench registers, so it runs in Python, where mfbench is installed with kernels of the
same kind: ``import mfbench.benchmarks.exports.graph`` before a stored program is loaded.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from torch import Tensor, nn

from mfbench.mfcore.cores.equivariant.inference.core import FrozenCore
from mfbench.mfcore.cores.equivariant.inference.export import FrozenModule, inputs_of
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.files import replacing
from mfbench.mfcore.potentials.potential import Potential

__all__ = ["PotentialModule", "export_graph", "inputs_of", "save_graph"]

OLDEST_TORCH = (2, 9)
"""Release of torch that can store programs for any numbers of atoms; 2.7 fails on limits that are infinite."""


def can_store() -> bool:
    """Say whether the installed torch can store a program."""
    major, minor = torch.__version__.split(".")[:2]
    return (int(major), int(minor)) >= OLDEST_TORCH


class PotentialModule(nn.Module):
    """One fidelity of a potential as a function of tensors, reference energies included.

    Parameters
    ----------
    potential
        Of one fidelity, from :func:`mfbench.benchmarks.exports.moved.self_contained`.

    Raises
    ------
    ConfigError
        If a network has an inference path that torch.export cannot read.
    """

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        frozen = potential.freeze()
        for core, name in zip(frozen.cores, frozen.names, strict=True):
            if not isinstance(core, FrozenCore):
                raise ConfigError(f"core '{name}' has no graph of torch.export; export to torch-sim or LAMMPS instead.")
        self.networks = nn.ModuleList([FrozenModule(core) for core in frozen.cores if isinstance(core, FrozenCore)])
        self.species = frozen.species
        (terms,) = potential.outputs.values()
        total = torch.zeros(len(self.species), dtype=torch.float64, device=frozen.device)
        for term in terms:
            core = potential.cores[term.core]
            rows = [core.species.index(number) for number in self.species]
            total += core.reference[core.row(term.fidelity), rows]
        self.register_buffer("reference", total)

    def forward(
        self,
        species: Tensor,
        positions: Tensor,
        sender: Tensor,
        receiver: Tensor,
        row_pointer: Tensor,
        shift: Tensor,
        frame: Tensor,
        n_atoms: Tensor,
        volume: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energies (B,) eV of float64, forces (A, 3) eV/Å and stress (B, 3, 3) eV/Å³ of a graph.

        Arguments as the attributes of :class:`~mfbench.mfcore.data.batch.Batch`.
        """
        graph = (species, positions, sender, receiver, row_pointer, shift, frame, n_atoms, volume)
        per_atom = self.get_buffer("reference").index_select(0, species)
        energy = torch.zeros_like(n_atoms, dtype=torch.float64).index_add_(0, frame, per_atom)
        forces, stress = torch.zeros_like(positions), torch.zeros_like(volume)[:, None, None].expand(-1, 3, 3)
        for network in self.networks:
            more = network(*graph)
            energy, forces, stress = energy + more[0].double(), forces + more[1], stress + more[2]
        return energy, forces, stress


def export_graph(potential: Potential) -> torch.export.ExportedProgram:
    """Make the program; its ``module()`` is called like :class:`PotentialModule`.

    Parameters
    ----------
    potential
        Of one fidelity.

    Raises
    ------
    ConfigError
        If a core has no such graph, or no kernels here.
    """
    module = PotentialModule(potential)
    given = inputs_of(_any_batch(potential))
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in given)
    module(*given)  # constants that are computed at the first pass (coupling coefficients) cannot be while it is traced
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own compiler
        return torch.export.export(module, given, dynamic_shapes=shapes, strict=False)


def save_graph(potential: Potential, path: Path) -> None:
    """Write the program to a file (.pt2).

    Raises
    ------
    ConfigError
        As :func:`export_graph`, or if the installed torch is too old.
    StorageError
        If the disk is full or cannot be written to.
    """
    if not can_store():
        raise ConfigError(
            f"a graph of torch.export cannot be stored by torch {torch.__version__}: install torch "
            f">= {'.'.join(map(str, OLDEST_TORCH))}."
        )
    program = export_graph(potential)
    with replacing(path) as temporary:
        torch.export.save(program, temporary)


def _any_batch(potential: Potential) -> Batch:
    """A graph of a crystal and two chains of all species: sizes that a graph might take for constants all differ."""
    frozen = potential.freeze()
    rng = np.random.default_rng(0)
    frames = []
    for count, periodic in ((2, True), (1, False), (3, False)):
        numbers = list(frozen.species) * count + [frozen.species[0]] * 3
        places = 1.6 * np.arange(len(numbers))[:, None] * np.eye(3)[:1] + 0.1 * rng.normal(size=(len(numbers), 3))
        frames.append(Atoms(numbers, positions=places, cell=[1.6 * len(numbers), 6.0, 7.0], pbc=periodic))
    return frozen.batch(frames)

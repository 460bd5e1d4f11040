"""Potentials and structures for the exports."""

from __future__ import annotations

import torch
from ase import Atoms
from ase.build import bulk, fcc100, molecule, nanotube

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.potentials.potential import Component, Potential

SPECIES = (1, 6, 8, 29)
FIDELITIES = ("low", "high")


def network(seed: int, species: tuple[int, ...] = SPECIES, precision: torch.dtype = torch.float64, **changes: object):
    """A random network with references, scales and shifts of its own for each species and fidelity."""
    torch.manual_seed(seed)
    settings = {"cutoff": 4.0, "n_layers": 2, "lmax": 1, "channels": 4, "n_bessel": 4, "radial_hidden": (8,)} | changes
    core = EquivariantCore(EquivariantConfig(**settings), species, FIDELITIES, "one_hot", 20.0).to(dtype=precision)
    core.reference[:] = -100.0 * torch.rand(core.reference.shape, dtype=torch.float64)
    core.scale[:] = 1 + torch.rand(core.scale.shape, dtype=precision)
    return core


def single(precision: torch.dtype = torch.float64, **record: object) -> Potential:
    core = network(0, precision=precision, zbl=True)
    return Potential("multi_fidelity", [core], {f: (Component(0, f),) for f in FIDELITIES}, record=dict(record))


def total() -> Potential:
    """Δ on a model: a sum of two networks of other species and cutoffs; low is the first alone."""
    cores = [network(0, zbl=True), network(1, (29, 8, 1, 6), cutoff=3.0)]
    low, high = Component(0, "low"), Component(1, "high")
    return Potential("delta_model", cores, {"low": (low,), "high": (low, high)})


def committee() -> Potential:
    """The sum of three networks."""
    return Potential(
        "single_fidelity", [network(k) for k in range(3)], {"high": tuple(Component(k, "high") for k in range(3))}
    )


def labels_added() -> Potential:
    return Potential("delta_labels", [network(0)], {"high": (Component(0, "high"),)}, {"high": "low"})


def rattled(atoms: Atoms, seed: int = 0) -> Atoms:
    atoms = atoms.copy()
    atoms.rattle(0.07, seed=seed)
    return atoms


def frames() -> list[Atoms]:
    """No, one, two and three periodic directions; a cell smaller than the cutoff; atoms without neighbours."""
    skew = rattled(bulk("Cu", cubic=True) * (2, 1, 1), 3)
    skew.set_cell(skew.cell @ [[1.02, 0.1, 0.0], [0.0, 0.97, 0.05], [0.04, 0.0, 1.01]], scale_atoms=True)
    return [
        rattled(molecule("CH3CH2OH")),
        Atoms("O"),
        rattled(fcc100("Cu", (1, 1, 3), vacuum=1.0), 1),
        rattled(nanotube(4, 0, length=1), 2),
        bulk("Cu"),
        skew,
        Atoms("H", cell=[9.0, 9.0, 9.0], pbc=True),
    ]


def crystals() -> list[Atoms]:
    return [atoms for atoms in frames() if atoms.pbc.all()]
